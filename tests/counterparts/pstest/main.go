// omakase-pstest serves Google's in-memory Pub/Sub at the address that is its only argument, until it is killed.
package main

import (
	"log"
	"os"

	"cloud.google.com/go/pubsub/v2/pstest"
)

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: omakase-pstest host:port")
	}
	log.Printf("serving at %s", pstest.NewServerWithAddress(os.Args[1]).Addr)
	select {}
}
