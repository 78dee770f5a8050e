package lab

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestHostsAloneBelongToAServerElsewhere(t *testing.T) {
	ctx, l := story(t)
	if err := l.UpHosts(ctx); err == nil || !strings.Contains(err.Error(), "Settings.Feed") {
		t.Fatalf("hosts without a feed: %v", err)
	}
	binary, feed := filepath.Join(t.TempDir(), "neutrino"), filepath.Join(t.TempDir(), "feed.sock")
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, "../cmd/neutrino")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	server, err := net.ListenUnix("unix", &net.UnixAddr{Name: feed, Net: "unix"})
	must(t, err)
	defer server.Close()
	l.Binary, l.Settings.Binary, l.Feed = binary, binary, feed
	must(t, l.UpHosts(ctx))
	if !l.Running(ctx) {
		t.Error("not running after it came up")
	}
	if _, err := l.Host("controller"); !errors.Is(err, ErrNoHost) {
		t.Errorf("controller: %v, want none", err)
	}
	must(t, server.SetDeadline(time.Now().Add(20*time.Second)))
	for range 2 { // network1 and compute1
		agent, err := server.Accept()
		must(t, err)
		defer agent.Close()
	}
	must(t, l.Down(ctx))
	if _, err := os.Stat(feed); err != nil {
		t.Errorf("the socket of the server: %v, want it untouched", err)
	}
}
