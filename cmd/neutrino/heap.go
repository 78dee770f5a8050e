package main

import (
	"os"
	"runtime/debug"
)

// How much the heap of the server may grow between two collections, percent of
// what lives in it. A server with a million ports holds more than a gigabyte, so
// Go's 100 would have it use twice that; while it loads them, collections would
// look at the same rows again and again.
const (
	servingGrowth = 50
	loadingGrowth = 200
)

// growHeap sets the growth, unless the operator has set it with GOGC.
func growHeap(percent int) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(percent)
	}
}

// loaded ends the time of loading: what was needed for it goes back to the
// system, while the first requests are served.
func loaded() {
	growHeap(servingGrowth)
	go debug.FreeOSMemory()
}
