"""The mathematics and the domain records. Pure: time, randomness and bytes come in as arguments."""
