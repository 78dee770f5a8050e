package enginetest

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"neutrino/store/engine"
)

// victim is the environment variable that tells a started test binary that it
// is to be killed, and names its directory.
const victim = "NEUTRINO_ENGINETEST_VICTIM"

func testReopen(t *testing.T, open Open) {
	dir := t.TempDir()
	reopen := func() suite {
		e, err := open(t.Context(), dir, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = e.Close() })
		return suite{t, e}
	}
	s := reopen()
	s.put("/a", "1")
	lease, err := s.Grant(t.Context(), time.Second)
	if err != nil {
		t.Fatal(err)
	}
	s.must(nil, engine.Op{Key: "/leased", Lease: lease}, engine.Put("/b", []byte("2")))
	s.must(nil, engine.Delete("/b"))
	if other, err := open(t.Context(), dir, 0); err == nil {
		// An engine for many servers: both see the same.
		suite{t, other}.want("a second server", suite{t, other}.text("/a", 0), "/a=1@1 ")
		_ = other.Close()
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = reopen()
	s.want("the present", s.text("/a", 0), "/a=1@1 ")
	s.want("the past", s.text("/b", 2), "/b=2@2 ")
	s.want("the history", s.watch("/", 1, 3), "1:/a=1 2:/leased= /b=2 3:/b gone ")
	s.want("a lease ends whose holder did not come back", s.watch("/leased", 3, 4), "4:/leased gone ")
	if rev := s.put("/a", "5"); rev != 5 {
		t.Errorf("the next revision is %d", rev)
	}
}

// testCrash kills a process in the middle of many transactions, several times
// on the same data, and looks for every one that it had an answer to.
func testCrash(t *testing.T, open Open) {
	if dir := os.Getenv(victim); dir != "" {
		beKilled(t, open, dir)
		return
	}
	dir := t.TempDir()
	answered := map[string]string{}
	for round := range 4 {
		for key, value := range killAfter(t, dir, 200+100*round) {
			answered[key] = value
		}
		e, err := open(t.Context(), dir, 0)
		if err != nil {
			t.Fatalf("open after a crash: %v", err)
		}
		kvs, rev, err := e.Range(t.Context(), "/", 0)
		if err != nil {
			t.Fatal(err)
		}
		have := map[string]string{}
		for kv := range kvs.All() {
			have[kv.Key] = string(kv.Value)
		}
		for key, value := range answered {
			if have[key] != value {
				t.Errorf("round %d: %s=%s was answered and is lost", round, key, value)
			}
		}
		whole(t, have)
		suite{t, e}.must([]engine.Compare{engine.RangeEmpty("/never/")}, engine.Put("/round", fmt.Append(nil, rev)))
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d answered transactions survived", len(answered))
}

// whole looks that no transaction is there in half: each wrote two keys.
func whole(t *testing.T, have map[string]string) {
	for key, value := range have {
		if left, ok := strings.CutSuffix(key, "/left"); ok && have[left+"/right"] != value {
			t.Errorf("half a transaction: %s=%s, /right=%s", key, value, have[left+"/right"])
		}
	}
}

// beKilled writes and says so until it is killed.
func beKilled(t *testing.T, open Open, dir string) {
	e, err := open(t.Context(), dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for c := range 8 {
		wg.Go(func() {
			for i := 0; ; i++ {
				key, value := fmt.Sprintf("/%d/%d-%d", c, os.Getpid(), i), fmt.Sprint(i)
				_, ok, err := e.Txn(context.Background(), nil, []engine.Op{
					engine.Put(key+"/left", []byte(value)), engine.Put(key+"/right", []byte(value))})
				if err != nil || !ok {
					return
				}
				mu.Lock()
				fmt.Printf("answered %s/left %s\n", key, value)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}

// killAfter runs the victim and kills it after so many answers.
func killAfter(t *testing.T, dir string, answers int) map[string]string {
	pattern := "^" + strings.ReplaceAll(regexp.QuoteMeta(t.Name()), "/", "$/^") + "$"
	cmd := exec.Command(os.Args[0], "-test.run="+pattern, "-test.v")
	cmd.Env = append(os.Environ(), victim+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	guard := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer guard.Stop()
	answered := map[string]string{}
	seen := ""
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var key, value string
		if n, _ := fmt.Sscanf(lines.Text(), "answered %s %s", &key, &value); n == 2 {
			answered[key] = value
		} else {
			seen += lines.Text() + "\n"
		}
		if len(answered) == answers {
			_ = cmd.Process.Kill() // and read on: what it said before counts
		}
	}
	if err := cmd.Wait(); err == nil || len(answered) < answers {
		t.Fatalf("the victim ended by itself after %d answers: %v\n%s", len(answered), err, seen)
	}
	return answered
}
