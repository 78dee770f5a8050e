package inside

import (
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"neutrino/host/realtest"
)

func TestMain(m *testing.M) {
	os.Exit(realtest.Main(m))
}

func namespace(t *testing.T) string {
	t.Helper()
	name, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	return name
}

func TestTheFirstThreadNeverLeavesItsNamespace(t *testing.T) {
	realtest.Root(t)
	home := namespace(t)
	path := t.TempDir() + "/net"
	err := Made(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			return err
		}
		return unix.Mount("/proc/thread-self/ns/net", path, "none", unix.MS_BIND, "")
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(path, unix.MNT_DETACH) })
	for range 200 {
		err := Namespace(path, func() error {
			if unix.Gettid() == unix.Getpid() {
				return fmt.Errorf("on the first thread")
			}
			if namespace(t) == home {
				return fmt.Errorf("not in the namespace")
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if namespace(t) != home {
			t.Fatal("the caller moved")
		}
	}
	if first, err := os.Readlink("/proc/self/ns/net"); err != nil || first != home {
		t.Fatalf("the process is seen in %s (%v), not in %s", first, err, home)
	}
	if err := Namespace(path+"x", func() error { return nil }); err == nil {
		t.Fatal("a missing namespace was entered")
	}
}
