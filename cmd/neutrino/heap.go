package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// How much the heap may grow between two collections, percent of what lives in
// it, while the store is loaded: collections would look at the same rows again
// and again. Afterwards it is Go's own 100.
const (
	loadingGrowth = 200
	servingGrowth = 100
)

// growHeap sets the growth, unless the operator has set it with GOGC.
func growHeap(percent int) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(percent)
	}
}

// A server with a million ports holds more than a gigabyte, and after a burst
// of work Go keeps as much again for the next one. When less than quietBytes
// were allocated in trimInterval, what is more than a fifth of what lives goes
// back to the system: that costs one collection, at a time when nobody waits.
const (
	trimInterval = 5 * time.Second
	quietBytes   = 32 << 20
)

// trimHeap does so until the context ends.
func trimHeap(ctx context.Context) {
	tick := time.NewTicker(trimInterval)
	defer tick.Stop()
	samples := []metrics.Sample{
		{Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/heap/live:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/free:bytes"},
	}
	for before := uint64(0); ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		metrics.Read(samples)
		allocated, live := samples[0].Value.Uint64(), samples[1].Value.Uint64()
		held := samples[2].Value.Uint64() + samples[3].Value.Uint64()
		if allocated-before < quietBytes && held > live+live/5+quietBytes {
			debug.FreeOSMemory()
		}
		before = allocated
	}
}
