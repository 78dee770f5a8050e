package unixctl_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"neutrino/host/unixctl"
)

// serve answers each request on a socket with what answer makes of it.
func serve(t *testing.T, answer func(method string, params []string) (result, refusal string, id int)) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "daemon.ctl")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		d := json.NewDecoder(c)
		for {
			var q struct {
				Method string
				Params []string
				ID     int
			}
			if d.Decode(&q) != nil {
				return
			}
			result, refusal, id := answer(q.Method, q.Params)
			reply := map[string]any{"id": q.ID + id, "result": nil, "error": nil}
			if refusal != "" {
				reply["error"] = refusal
			} else if result != "silence" {
				reply["result"] = result
			}
			if result == "silence" {
				continue
			}
			json.NewEncoder(c).Encode(reply)
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return path
}

func dial(t *testing.T, path string) *unixctl.Client {
	t.Helper()
	c, err := unixctl.Dial(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestAnswersRefusalsAndSilence(t *testing.T) {
	c := dial(t, serve(t, func(method string, params []string) (string, string, int) {
		switch method {
		case "echo":
			return strings.Join(params, " "), "", 0
		case "sleep":
			return "silence", "", 0
		}
		return "", "\"" + method + "\" is not a valid command\n", 0
	}))
	ctx := context.Background()
	if got, err := c.Call(ctx, "echo", "a", "b"); err != nil || got != "a b" {
		t.Errorf("echo: %q, %v", got, err)
	}
	var refusal *unixctl.Error
	if _, err := c.Call(ctx, "dance"); !errors.As(err, &refusal) || refusal.Command != "dance" {
		t.Errorf("dance: %v", err)
	}
	if got, err := c.Call(ctx, "echo", "still here"); err != nil || got != "still here" {
		t.Errorf("echo after a refusal: %q, %v", got, err)
	}
	short, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
	defer cancel()
	if _, err := c.Call(short, "sleep"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("sleep: %v", err)
	}
}

func TestAnAnswerToSomethingElseIsAnError(t *testing.T) {
	c := dial(t, serve(t, func(string, []string) (string, string, int) { return "x", "", 7 }))
	if _, err := c.Call(context.Background(), "echo"); err == nil {
		t.Error("an answer with another id is taken")
	}
}

func TestADaemonThatDoesNotRunIsGone(t *testing.T) {
	dir := t.TempDir()
	if _, err := unixctl.Switch(context.Background(), dir); !unixctl.Gone(err) {
		t.Errorf("no pid file: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "ovs-vswitchd.pid"), []byte("123\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := unixctl.Switch(context.Background(), dir); !unixctl.Gone(err) {
		t.Errorf("no socket: %v", err)
	}
}

func TestARealDaemonAnswers(t *testing.T) {
	if testing.Short() || os.Geteuid() != 0 {
		t.Skip("NOT TESTED: needs root for a daemon in a namespace of its own")
	}
	for _, tool := range []string{"ovsdb-server", "ovsdb-tool"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("NOT TESTED: needs %s: %v", tool, err)
		}
	}
	dir := t.TempDir()
	env := append(os.Environ(), "OVS_RUNDIR="+dir, "OVS_DBDIR="+dir, "OVS_LOGDIR="+dir, "OVS_SYSCONFDIR="+dir)
	create := exec.Command("ovsdb-tool", "create", filepath.Join(dir, "conf.db"), "/usr/share/openvswitch/vswitch.ovsschema")
	create.Env = env
	if out, err := create.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	d := exec.Command("ovsdb-server", filepath.Join(dir, "conf.db"), "--remote=punix:"+filepath.Join(dir, "db.sock"), "--pidfile")
	d.Env = env
	d.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if err := d.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { d.Process.Kill(); d.Wait() }()
	deadline := time.Now().Add(10 * time.Second)
	c, err := connect(dir)
	for ; unixctl.Gone(err); c, err = connect(dir) {
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Millisecond)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got, err := c.Call(context.Background(), "version"); err != nil || !strings.Contains(got, "Open vSwitch") {
		t.Errorf("version: %q, %v", got, err)
	}
	if got, err := c.Call(context.Background(), "ovsdb-server/list-dbs"); err != nil || !strings.Contains(got, "Open_vSwitch") {
		t.Errorf("list-dbs: %q, %v", got, err)
	}
}

// connect fails with what Gone knows until the daemon has its pid file and listens.
func connect(dir string) (*unixctl.Client, error) {
	path, err := unixctl.Find(dir, "ovsdb-server")
	if err != nil {
		return nil, err
	}
	return unixctl.Dial(context.Background(), path)
}
