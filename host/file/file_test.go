package file

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"neutrino/host"
	"neutrino/reconcile"
)

const insideEnv = "NEUTRINO_TEST_INSIDE"

// TestMain runs the tests again in a mount namespace of their own, for small disks.
func TestMain(m *testing.M) {
	if os.Getenv(insideEnv) != "" { // or our mounts would reach the machine
		if err := syscall.Mount("", "/", "", syscall.MS_PRIVATE|syscall.MS_REC, ""); err != nil {
			panic(err)
		}
	}
	if os.Geteuid() != 0 || os.Getenv(insideEnv) != "" {
		os.Exit(m.Run())
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), insideEnv+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Run(); err != nil {
		os.Stderr.WriteString("in its own namespace: " + err.Error() + "\n")
		os.Exit(1)
	}
}

type files = map[string]host.File

func converge(t *testing.T, h *Hand, want files) reconcile.Result {
	t.Helper()
	part := &reconcile.Part[files, string, host.File]{Name: "files", Hand: h, Same: Same,
		Want: func(f files) map[string]host.File { return f }, Object: func(f host.File) string { return f.Why.Object }}
	return reconcile.Sync(context.Background(), []reconcile.Step[files]{part}, want)
}

func clean(t *testing.T, h *Hand, want files, changes int) {
	t.Helper()
	r := converge(t, h, want)
	if len(r.Problems) > 0 {
		t.Fatalf("problems: %v", r.Problems)
	}
	if r.Puts+r.Drops != changes {
		t.Fatalf("%d puts and %d drops, want %d changes", r.Puts, r.Drops, changes)
	}
}

func hand(t *testing.T, dir string) *Hand {
	h := New([]string{dir})
	t.Cleanup(h.Close)
	return h
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func content(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// network is the directory of one network's dnsmasq.
func network(dir string) files {
	return files{
		dir + "/host":   {Content: "fa:16:3e:00:00:01,host-10-1-0-2,10.1.0.2\n", Mode: 0o644, Why: host.Why{Object: "network/1"}},
		dir + "/opts":   {Content: "tag:subnet-1,option:router,10.1.0.1\n", Mode: 0o640, Why: host.Why{Object: "network/1"}},
		dir + "/leases": {Content: "0 fa:16:3e:00:00:01 10.1.0.2 * *\n", Mode: 0o644, Seed: true, Why: host.Why{Object: "network/1"}},
	}
}

func TestFilesAreWrittenRepairedAndRemovedWithTheirDirectory(t *testing.T) {
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	root := filepath.Join(t.TempDir(), "var", "dhcp")
	dir := root + "/net-1"
	h, want := hand(t, root), network(dir)
	clean(t, h, want, 3)
	clean(t, h, want, 0)
	if st, err := os.Stat(dir); err != nil || st.Mode().Perm() != 0o755 {
		t.Fatalf("%v %v", st.Mode(), err)
	}
	if st, err := os.Stat(dir + "/opts"); err != nil || st.Mode().Perm() != 0o640 {
		t.Fatalf("%v %v", st.Mode(), err)
	}
	put(t, dir+"/leases", "12345 fa:16:3e:00:00:01 10.1.0.2 vm *\n")
	put(t, dir+"/pid", "17\n")
	put(t, dir+"/loaded", "x")
	clean(t, hand(t, root), want, 0)
	clean(t, h, want, 0)
	put(t, dir+"/host", "by hand\n")
	clean(t, h, want, 1)
	if got := content(t, dir+"/host"); got != want[dir+"/host"].Content {
		t.Fatalf("not repaired: %q", got)
	}
	if err := os.Chmod(dir+"/host", 0o600); err != nil {
		t.Fatal(err)
	}
	clean(t, h, want, 1)
	put(t, dir+"/"+temporary+"host-1", "half")
	clean(t, h, want, 1)
	if got := content(t, dir+"/leases"); !strings.HasPrefix(got, "12345") {
		t.Fatalf("the daemon's leases are gone: %q", got)
	}
	delete(want, dir+"/opts")
	clean(t, h, want, 1)
	if content(t, dir+"/pid") != "17\n" {
		t.Fatal("pid file")
	}
	clean(t, hand(t, root), files{}, 2)
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("the directory is still there: %v", err)
	}
	if _, err := os.Stat(root); err != nil {
		t.Fatalf("the root directory went too: %v", err)
	}
}

func TestAFileThatCannotBeWrittenHarmsNoOther(t *testing.T) {
	if testing.Short() || os.Getenv(insideEnv) == "" {
		t.Skip("SKIPPED, NOT TESTED: a full disk needs root")
	}
	root := t.TempDir()
	if err := syscall.Mount("tmpfs", root, "tmpfs", 0, "size=64k"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Unmount(root, syscall.MNT_DETACH) })
	want := network(root + "/b")
	want[root+"/a/host"] = host.File{Content: strings.Repeat("x", 100<<10), Mode: 0o644, Why: host.Why{Object: "network/big"}}
	r := converge(t, hand(t, root), want)
	if len(r.Problems) != 1 || r.Problems[0].Object != "network/big" || !errors.Is(r.Problems[0].Err, syscall.ENOSPC) {
		t.Fatalf("problems: %v", r.Problems)
	}
	for path, f := range network(root + "/b") {
		if content(t, path) != f.Content {
			t.Fatalf("%s is not written", path)
		}
	}
	if left, _ := filepath.Glob(root + "/a/" + temporary + "*"); len(left) > 0 {
		t.Fatalf("left behind: %v", left)
	}
	if err := syscall.Mount("tmpfs", root, "tmpfs", syscall.MS_REMOUNT, "size=1m"); err != nil {
		t.Fatal(err)
	}
	if r := converge(t, hand(t, root), want); len(r.Problems) != 0 || r.Puts != 1 {
		t.Fatalf("%+v", r)
	}
}

func TestWhatIsNotOursIsNeverTouched(t *testing.T) {
	root := t.TempDir()
	h := hand(t, root+"/ours")
	for _, path := range []string{root + "/other", root + "/ours/../other", "/ours/x", root + "/oursnot/x", root + "/ours/net/pid", "ours/x"} {
		if r := converge(t, h, files{path: {Content: "x", Mode: 0o644}}); len(r.Problems) != 1 {
			t.Errorf("%s: %v", path, r.Problems)
		}
	}
	put(t, root+"/target", "precious")
	if err := os.MkdirAll(root+"/ours/net", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(root+"/target", root+"/ours/net/host"); err != nil {
		t.Fatal(err)
	}
	clean(t, h, files{root + "/ours/net/host": {Content: "x", Mode: 0o644}}, 1)
	if content(t, root+"/target") != "precious" || content(t, root+"/ours/net/host") != "x" {
		t.Fatal("wrote through a symbolic link")
	}
}

func heard(h *Hand, within time.Duration) bool {
	select {
	case <-h.Events():
		return true
	case <-time.After(within):
		return false
	}
}

func TestSomeoneElsesChangeIsNoticedAndOursIsNot(t *testing.T) {
	root := t.TempDir()
	dir := root + "/net-1"
	h, want := hand(t, root), network(dir)
	clean(t, h, want, 3)
	f := want[dir+"/host"]
	f.Content = "changed\n"
	want[dir+"/host"] = f
	clean(t, h, want, 1)
	put(t, dir+"/leases", "a lease\n")
	put(t, dir+"/pid", "1\n")
	put(t, dir+"/loaded", "1\n")
	if heard(h, 100*time.Millisecond) {
		t.Fatal("our own writes, or the daemon's, came as an event")
	}
	for name, change := range map[string]func() error{
		"edited":    func() error { put(t, dir+"/host", "by hand"); return nil },
		"removed":   func() error { return os.Remove(dir + "/opts") },
		"replaced":  func() error { put(t, root+"/new", "x"); return os.Rename(root+"/new", dir+"/opts") },
		"mode":      func() error { return os.Chmod(dir+"/host", 0o600) },
		"leases":    func() error { return os.Remove(dir + "/leases") },
		"directory": func() error { return os.RemoveAll(dir) },
	} {
		if err := change(); err != nil {
			t.Fatal(err)
		}
		if !heard(h, 2*time.Second) {
			t.Fatalf("%s: no event", name)
		}
		if r := converge(t, h, want); len(r.Problems) > 0 || r.Puts == 0 {
			t.Fatalf("%s: %+v", name, r)
		}
		for heard(h, 50*time.Millisecond) { // several events of one change
		}
		clean(t, h, want, 0)
	}
}
