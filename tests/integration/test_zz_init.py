import subprocess
from pathlib import Path
from tests.counterparts import PUBSUB, GCS, BIGQUERY, DATASTORE
def test_x(tmp_path):
    for one in (PUBSUB, GCS, BIGQUERY, DATASTORE): one.address()
    for o in ("local","prod"):
        text=Path(f"deploy/k8s/overlays/{o}/product.yaml").read_text().replace("omakase-local","omakase-test").replace("PROJECT","omakase-test")
        p=tmp_path/"p.yaml"; p.write_text(text)
        for extra in ([], []) if o=="local" else (["--dry-run","--dataflow","gs://omakase-test-dataflow/omakase"],):
            r=subprocess.run([".venv/bin/omakase","cloud","init","--config",str(p),*extra],capture_output=True,text=True,timeout=120)
            with open("/tmp/h/deploy/init.log","a") as f: print(o,extra,r.returncode,r.stdout[-2500:],r.stderr[-500:],file=f)
