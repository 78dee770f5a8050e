package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"

	"neutrino/host/ovsdb"
	"neutrino/lab"
)

// within runs a function in a network namespace, on a thread that ends with
// it. Sockets that the function opens stay in that namespace.
func within(namespace string, do func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread is not to be used again
		f, err := os.Open(namespace)
		if err != nil {
			done <- fmt.Errorf("namespace: %w", err)
			return
		}
		err = unix.Setns(int(f.Fd()), unix.CLONE_NEWNET)
		if err = errors.Join(err, f.Close()); err != nil {
			done <- fmt.Errorf("enter %s: %w", namespace, err)
			return
		}
		done <- do()
	}()
	return <-done
}

// The host's places as the machine's root namespaces see them.
func root(h *lab.Host) string { return filepath.Join("/proc", strconv.Itoa(h.Holder), "root") }

func hostNamespace(h *lab.Host) string {
	return filepath.Join("/proc", strconv.Itoa(h.Holder), "ns/net")
}

func namedNamespace(h *lab.Host, name string) string {
	return filepath.Join(root(h), "run/netns", name)
}

func databaseSocket(h *lab.Host) string { return filepath.Join(root(h), "run/openvswitch/db.sock") }

func newDatabase(h *lab.Host) *ovsdb.DB {
	return ovsdb.New(ovsdb.Options{Socket: "unix:" + databaseSocket(h)})
}

// stateDir is where the host's agent has its files.
func stateDir(h *lab.Host) string { return filepath.Join(h.Dir(), "neutron") }
