package lab

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// agentOnSocket runs the guest's agent script here, behind a unix socket as
// QEMU puts it behind one.
func agentOnSocket(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("busybox"); err != nil {
		t.Skip("SKIPPED: busybox is not installed")
	}
	path := filepath.Join(t.TempDir(), "agent.sock")
	ln, err := net.Listen("unix", path)
	must(t, err)
	t.Cleanup(func() { ln.Close() })
	go func() {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		f, err := conn.(*net.UnixConn).File()
		if err != nil {
			return
		}
		defer f.Close()
		cmd := exec.Command("busybox", "sh", "guest/agent")
		cmd.Stdin, cmd.Stdout = f, f
		cmd.Run() // stty fails: a socket has no line discipline
	}()
	return path
}

func TestCommandsGoOverTheSerialPort(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	s, err := dialSerial(ctx, agentOnSocket(t))
	must(t, err)
	defer s.close()
	for _, c := range []struct {
		script string
		want   Output
	}{
		{"echo one; echo two >&2; exit 3", Output{Stdout: "one\n", Stderr: "two\n", Code: 3}},
		{"true", Output{}},
		{"printf 'no newline, \"quotes\" and $signs'", Output{Stdout: `no newline, "quotes" and $signs`}},
		{"seq 1 3000 | tr '\\n' ' '", Output{Stdout: numbers(t)}},
		{"cat", Output{}}, // input is empty, not the serial port
	} {
		got, err := s.run(ctx, c.script)
		must(t, err)
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s:\n%s", c.script, diff)
		}
	}
}

func numbers(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("busybox", "seq", "1", "3000").Output()
	must(t, err)
	return strings.ReplaceAll(string(out), "\n", " ")
}

func TestAGuestThatDoesNotAnswerEndsTheWait(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agent.sock")
	ln, err := net.Listen("unix", path)
	must(t, err)
	defer ln.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := dialSerial(ctx, path); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want the deadline", err)
	}
}

func TestArchiveIsReadByCpio(t *testing.T) {
	if _, err := exec.LookPath("busybox"); err != nil {
		t.Skip("SKIPPED: busybox is not installed")
	}
	var a archive
	a.directory("bin")
	a.file("bin/odd", []byte("odd"))
	a.file("init", []byte("#!/bin/sh\n"))
	dir := t.TempDir()
	cmd := exec.Command("busybox", "cpio", "-i")
	cmd.Dir, cmd.Stdin = dir, strings.NewReader(string(a.bytes()))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cpio: %v: %s", err, out)
	}
	for name, want := range map[string]string{"bin/odd": "odd", "init": "#!/bin/sh\n"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		must(t, err)
		info, err := os.Stat(filepath.Join(dir, name))
		must(t, err)
		if string(b) != want || info.Mode().Perm() != 0o755 {
			t.Errorf("%s: %q %v, want %q -rwxr-xr-x", name, b, info.Mode(), want)
		}
	}
}

func TestLeaseIsReadFromTheScriptsFile(t *testing.T) {
	got, err := parseLease("ip=10.1.0.2\nmask=24\nrouter=10.1.0.1\nserver=10.1.0.3\nseconds=120\nmtu=1458\nroutes=\ndns=10.1.0.3\ndomain=openstacklocal\nhostname=\n")
	must(t, err)
	want := Lease{Address: "10.1.0.2", Bits: 24, Router: "10.1.0.1", Server: "10.1.0.3", Seconds: 120, MTU: 1458, DNS: "10.1.0.3", Domain: "openstacklocal"}
	if got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if _, err := parseLease(""); err == nil {
		t.Error("an empty file is no lease")
	}
}

func TestClientTellsWhatTheAPISaid(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Method + " " + r.URL.String() {
		case "GET /v2.0/security-group-rules?direction=ingress":
			w.Write([]byte(`{"security_group_rules": [{"id": "r1", "port_range_min": 22}]}`))
		case "DELETE /v2.0/ports/gone":
			w.WriteHeader(http.StatusNotFound)
		default:
			w.WriteHeader(http.StatusConflict)
			w.Write([]byte(`{"NeutronError": {"type": "IpAddressInUse", "message": "taken", "detail": ""}}`))
		}
	}))
	defer server.Close()
	c := NewClient(server.URL)
	rules, err := c.List(t.Context(), "security-group-rules", Query{"direction": "ingress"})
	if err != nil || len(rules) != 1 || rules[0].ID() != "r1" || rules[0].Int("port_range_min") != 22 {
		t.Errorf("list: %v %v", rules, err)
	}
	if err := c.Delete(t.Context(), "ports", "gone"); err != nil {
		t.Errorf("delete of what is gone: %v", err)
	}
	_, err = c.Create(t.Context(), "ports", Object{"name": "p"})
	var e *APIError
	if !errors.As(err, &e) || e.Type != "IpAddressInUse" || !IsStatus(err, http.StatusConflict) {
		t.Errorf("create: %v", err)
	}
}

func TestSettingsThatCannotWorkAreRefused(t *testing.T) {
	for name, s := range map[string]Settings{
		"too many hosts":   {Computes: 201},
		"no hosts":         {Computes: -1},
		"no tunnel":        {Type: "vlan"},
		"no port":          {APIPort: 70000},
		"hidden directory": {Dir: "/run/lab"},
		"long directory":   {Dir: "/" + strings.Repeat("x", 80)},
	} {
		if _, err := New(t.Context(), s); err == nil {
			t.Errorf("%s: accepted %+v", name, s)
		}
	}
}

func TestArgumentsAreQuotedForTheGuestsShell(t *testing.T) {
	for want, argv := range map[string][]string{
		"ip addr | grep eth0":   {"ip addr | grep eth0"},
		`'echo' 'it'\''s' '$x'`: {"echo", "it's", "$x"},
	} {
		if got := shellQuote(argv); got != want {
			t.Errorf("%q: %s, want %s", argv, got, want)
		}
	}
}
