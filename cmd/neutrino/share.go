package main

import (
	"bytes"
	"context"
	"log/slog"
	"math"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"neutrino/api/conns"
)

// How the descriptors are shared: some are the server's own (the store, listeners,
// the log, Nova), and the API has half of the rest, so that agents find the other.
const (
	ownFiles        = 24
	leastAPI        = 4
	mostConnections = 8192
)

// apiConnections is how many connections the API may have of so many descriptors.
func apiConnections(files uint64) int {
	rest := int64(min(files, math.MaxInt32)) - ownFiles
	return int(min(max(rest/2, leastAPI), mostConnections))
}

// openFiles is how many descriptors this program may have. At its start Go has
// raised the limit as far as it may.
func openFiles() uint64 {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0
	}
	return limit.Cur
}

// apiServer is the server of the API, and the listeners that keep its connections
// within the descriptors.
func apiServer(ctx context.Context, h http.Handler, listeners []net.Listener) (*http.Server, []net.Listener) {
	server := conns.Server(ctx, h)
	keeper := conns.NewKeeper(apiConnections(openFiles()), slog.Default())
	keeper.Serve(server)
	kept := make([]net.Listener, len(listeners))
	for i, ln := range listeners {
		kept[i] = keeper.Listener(ln)
	}
	return server, kept
}

// partOfMemory is the part of the memory that the heap may have, percent: the rest is
// for what is not in the heap, and for the system.
const partOfMemory = 90

// limitHeap has Go collect harder before the heap takes all memory, and requests
// refused before that does not help ([admission.Pressure]). What the operator says
// in GOMEMLIMIT holds. It is called after hugeHeap, which wants no limit.
func limitHeap() {
	if memory := machineMemory(); memory > 0 && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memory / 100 * partOfMemory)
	}
}

// machineMemory is how much memory this program can have, bytes: the machine's, or
// what its control groups allow (cgroups(7), memory.max). 0 is unknown.
func machineMemory() int64 {
	var system unix.Sysinfo_t
	if err := unix.Sysinfo(&system); err != nil {
		return 0
	}
	memory := int64(system.Totalram) * int64(system.Unit)
	group, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return memory
	}
	return min(memory, groupMemory(group, "/sys/fs/cgroup"))
}

// groupMemory is the least memory.max of the group in the second version of control
// groups and those above it.
func groupMemory(membership []byte, root string) int64 {
	least := int64(math.MaxInt64)
	for line := range bytes.Lines(membership) {
		group, ok := strings.CutPrefix(strings.TrimSpace(string(line)), "0::")
		if !ok {
			continue
		}
		for dir := filepath.Join("/", group); ; dir = filepath.Dir(dir) {
			text, err := os.ReadFile(filepath.Join(root, dir, "memory.max"))
			if err == nil {
				if n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil {
					least = min(least, n)
				}
			}
			if dir == "/" {
				break
			}
		}
	}
	return least
}
