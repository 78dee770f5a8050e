// Package inside lets the hands act in another network namespace.
package inside

import (
	"fmt"
	"runtime"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Namespace calls f in the network namespace of a file, as "/run/netns/<name>"
// or "/proc/<pid>/ns/net"; with an empty path where it is. What f opens and
// starts stays in the namespace. f's own goroutines do not run there.
//
// The thread dies with its goroutine and never runs anything else in the wrong
// namespace. The first thread of a process cannot die, and is what others see
// of the process, so it never enters: it is held while another one does.
func Namespace(path string, f func() error) error {
	if path == "" {
		return f()
	}
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			defer runtime.UnlockOSThread()
			done <- Namespace(path, f)
			return
		}
		done <- enter(path, f)
	}()
	return <-done
}

func enter(path string, f func() error) error {
	handle, err := netns.GetFromPath(path)
	if err != nil {
		return fmt.Errorf("namespace %s: %w", path, err)
	}
	defer func() { _ = handle.Close() }()
	if err := netns.Set(handle); err != nil {
		return fmt.Errorf("entering namespace %s: %w", path, err)
	}
	return f()
}

// Made calls f on a thread of its own that may change its namespace for good:
// it ends with f.
func Made(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			defer runtime.UnlockOSThread()
			done <- Made(f)
			return
		}
		done <- f()
	}()
	return <-done
}
