package main

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"unsafe"
)

// What the heap is given after the addresses were taken lies where huge pages were
// asked for.
func TestTheHeapAsksForHugePages(t *testing.T) {
	enabled, err := os.ReadFile("/sys/kernel/mm/transparent_hugepage/enabled")
	if err != nil || strings.Contains(string(enabled), "[never]") {
		t.Skipf("SKIPPED: this kernel gives no huge pages: %s %v", enabled, err)
	}
	takeHuge(256 << 20)
	debug.FreeOSMemory()
	rows := make([]byte, 64<<20)
	for i := 0; i < len(rows); i += 4096 {
		rows[i] = 1
	}
	at := uintptr(unsafe.Pointer(unsafe.SliceData(rows))) + uintptr(len(rows)/2)
	flags, huge := mappingOf(t, at)
	if !strings.Contains(flags, " hg") {
		t.Errorf("what holds the rows is a mapping with %s", flags)
	}
	if huge == "0" {
		t.Error("none of it is in huge pages")
	}
	runtime.KeepAlive(rows)
}

// mappingOf is what the kernel says of the mapping with an address (proc(5),
// smaps): its flags, and how many kB of it are in huge pages.
func mappingOf(t *testing.T, at uintptr) (flags, huge string) {
	maps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	inside := false
	for line := range strings.Lines(string(maps)) {
		var from, to uintptr
		if n, _ := fmt.Sscanf(line, "%x-%x ", &from, &to); n == 2 {
			inside = from <= at && at < to
		}
		if !inside {
			continue
		}
		if rest, ok := strings.CutPrefix(line, "AnonHugePages:"); ok {
			huge = strings.Fields(rest)[0]
		}
		if strings.HasPrefix(line, "VmFlags:") {
			flags = strings.TrimSpace(line)
		}
	}
	return flags, huge
}
