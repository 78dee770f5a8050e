package main

import (
	"bytes"
	"context"
	"errors"
	"math"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"golang.org/x/sys/unix"
)

// How much the heap may grow between two collections, percent of what lives in
// it: while the store is loaded, collections would look at the same rows again
// and again. Afterwards it is more than Go's own 100 by what a port may cost: in a
// burst of requests every fifth of the time goes into collections.
const (
	loadingGrowth = 200
	servingGrowth = 130
)

// growHeap sets the growth, unless the operator has set it with GOGC.
func growHeap(percent int) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(percent)
	}
}

// The most memory of the heap, in bytes, that is asked for in huge pages, and the
// part of the machine's: beyond what the system would let a program have, Go ends
// it.
const (
	mostHuge   = 4 << 30
	partOfHuge = 4
	hugePage   = 2 << 20
)

// hugeHeap has the kernel back the heap with huge pages, if it has any for those
// who ask (madvise in /sys/kernel/mm/transparent_hugepage/enabled). A request looks
// at rows far apart: with pages of 4 KiB a list of 5,000 ports takes twice as long,
// and a start half as long again. Go asks for none, because programs that use
// little of each would need more memory; ours fills them. So the addresses that
// the heap will have are taken once, without touching any, and given back to it.
func hugeHeap() {
	var system unix.Sysinfo_t
	var addresses unix.Rlimit
	errS, errR := unix.Sysinfo(&system), unix.Getrlimit(unix.RLIMIT_AS, &addresses)
	strict, errO := os.ReadFile("/proc/sys/vm/overcommit_memory")
	if errors.Join(errS, errR, errO) != nil || addresses.Cur != unix.RLIM_INFINITY || string(bytes.TrimSpace(strict)) == "2" ||
		debug.SetMemoryLimit(-1) != math.MaxInt64 {
		return // addresses cost something here, or count (GOMEMLIMIT)
	}
	memory := system.Totalram * uint64(system.Unit)
	takeHuge(min(mostHuge, memory/partOfHuge) / hugePage * hugePage)
	debug.FreeOSMemory() // else Go gives it back bit by bit
}

// takeHuge takes bytes of the heap and asks for huge pages there.
func takeHuge(size uint64) {
	room := make([]byte, size)
	// It begins where a page of the system does. What the kernel refuses stays as it is.
	_ = unix.Madvise(room, unix.MADV_HUGEPAGE)
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
