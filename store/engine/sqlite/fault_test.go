package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"neutrino/store/engine"
)

func open(t *testing.T, path string) *Engine {
	t.Helper()
	e, err := Open(t.Context(), Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

func put(t *testing.T, e *Engine, key string, size int) (int64, error) {
	t.Helper()
	rev, _, err := e.Txn(t.Context(), nil, []engine.Op{engine.Put(key, make([]byte, size))})
	return rev, err
}

func TestASecondServerOnTheSameFileIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	open(t, path)
	if e, err := Open(t.Context(), Options{Path: path}); err == nil || !strings.Contains(err.Error(), "in use by another process") {
		t.Errorf("engine %v, error %v", e, err)
	}
}

func TestWhatIsNoDatabaseIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	if err := os.WriteFile(path, []byte(strings.Repeat("this is a letter\n", 500)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), Options{Path: path}); err == nil {
		t.Error("a letter was opened as a database")
	}
	if _, err := Open(t.Context(), Options{Path: filepath.Join(path, "db")}); err == nil {
		t.Error("a file under a file was opened")
	}
}

func TestStrangeFileNames(t *testing.T) {
	path := filepath.Join(t.TempDir(), "50% of? this#file &c")
	if _, err := put(t, open(t, path), "/a", 1); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
}

// Nobody else can lock the file: a reader with a transaction that stays open would
// stop every write.
func TestNobodyElseLocksTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	e := open(t, path)
	if _, err := put(t, e, "/a", 1); err != nil {
		t.Fatal(err)
	}
	other, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	for _, statement := range []string{`BEGIN IMMEDIATE`, `SELECT count(*) FROM log`} {
		if _, err := other.Exec(statement); err == nil || !strings.Contains(err.Error(), "locked") {
			t.Errorf("another process's %s: %v", statement, err)
		}
	}
	if rev, err := put(t, e, "/b", 1); err != nil || rev != 2 {
		t.Errorf("a write meanwhile: revision %d, %v", rev, err)
	}
	if _, err := os.Stat(path + "-shm"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("there is a file to lock: %v", err)
	}
}

const fullDisk = "NEUTRINO_TEST_FULL_DISK"

// The test runs again as a child with a mount namespace of its own, so that its
// small disk is nobody else's.
func TestAFullDiskFailsClearlyAndRecovers(t *testing.T) {
	if dir := os.Getenv(fullDisk); dir != "" {
		onASmallDisk(t, dir)
		return
	}
	if testing.Short() || os.Geteuid() != 0 {
		t.Skip("SKIPPED: a full disk needs a mount, and that root")
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), fullDisk+"="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Error(err)
	}
}

func onASmallDisk(t *testing.T, dir string) {
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=4m"); err != nil {
		t.Fatal(err)
	}
	e := open(t, filepath.Join(dir, "db"))
	if _, err := put(t, e, "/first", 1000); err != nil {
		t.Fatal(err)
	}
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 2<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	var rev int64 = 1
	var err error
	failed := ""
	for i := 0; err == nil; i++ {
		var next int64
		failed = fmt.Sprintf("/fill/%d", i)
		if next, err = put(t, e, failed, 50_000); err == nil {
			rev = next
		}
	}
	t.Logf("after revision %d: %v", rev, err)
	if !errors.Is(err, engine.ErrUnavailable) || !strings.Contains(err.Error(), "full") {
		t.Errorf("a write to a full disk: %v", err)
	}
	if _, have, err := e.Range(t.Context(), "/first", 0); err != nil || have != rev {
		t.Errorf("a read with a full disk: revision %d, want %d, %v", have, rev, err)
	}
	// What failed was not made: nothing remembers it.
	if have, ok, err := e.Txn(t.Context(), []engine.Compare{{Test: engine.Absent, Key: failed}}, nil); err != nil || !ok || have != rev {
		t.Errorf("%s is remembered: revision %d, %v, %v", failed, have, ok, err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if next, err := put(t, e, "/after", 50_000); err != nil || next != rev+1 {
		t.Errorf("after room was made: revision %d, want %d, %v", next, rev+1, err)
	}
}

// The file does not grow with the number of changes, only with what is alive
// and the history that is kept.
func TestTheFileStopsGrowing(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: -short: it writes ten thousand revisions")
	}
	path := filepath.Join(t.TempDir(), "db")
	e, err := Open(t.Context(), Options{Path: path, Keep: 200})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	size := func(changes int) int64 {
		for i := range changes {
			if _, err := put(t, e, fmt.Sprintf("/k/%d", i%50), 1000); err != nil {
				t.Fatal(err)
			}
		}
		var pages int64
		if err := e.conn.QueryRowContext(t.Context(), `PRAGMA page_count`).Scan(&pages); err != nil {
			t.Fatal(err)
		}
		return pages
	}
	early, late := size(1000), size(2000)
	if late > early*5/4 {
		t.Errorf("%d pages after 1000 changes, %d after 3000", early, late)
	}
}

// Where many wait, they share a sync: one SQLite transaction, each with its own
// revision and its own answer.
func TestWaitingTransactionsShareACommit(t *testing.T) {
	// Without the writer's goroutine: the test is the writer.
	e := newEngine(DefaultKeep)
	defer e.release()
	if err := e.open(t.Context(), filepath.Join(t.TempDir(), "db")); err != nil {
		t.Fatal(err)
	}
	const waiting = 100
	answers := make(chan int64, waiting)
	for i := range waiting {
		go func() {
			key := fmt.Sprintf("/%d", i%50)
			rev, ok, err := e.Txn(context.Background(), []engine.Compare{{Test: engine.Absent, Key: key}}, []engine.Op{engine.Put(key, nil)})
			if err != nil || !ok {
				rev = 0
			}
			answers <- rev
		}()
	}
	for deadline := time.Now().Add(10 * time.Second); len(e.requests) < waiting; {
		if time.Now().After(deadline) {
			t.Fatalf("%d wait", len(e.requests))
		}
		time.Sleep(time.Millisecond)
	}
	group := e.gather(<-e.requests)
	if len(group) != waiting {
		t.Fatalf("%d in one group", len(group))
	}
	e.commit(group)
	revs := map[int64]int{}
	for range waiting {
		revs[<-answers]++
	}
	if len(revs) != 51 || revs[0] != 50 || e.history.newest() != 50 {
		t.Errorf("revisions %v, the newest %d", revs, e.history.newest())
	}
}
