package walk

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"neutrino/lab"
)

var update = flag.Bool("update", false, "walk, and write what was seen into docs/walk-through.md")

const document = "../../docs/walk-through.md"

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// written is the document as it stands.
func written(t *testing.T) (Document, Cast) {
	t.Helper()
	text, err := os.ReadFile(document)
	must(t, err)
	cast, err := ReadCast(string(text))
	must(t, err)
	d, err := Parse(string(text))
	must(t, err)
	if d.String() != string(text) {
		t.Error("the document is not what its parts make")
	}
	return d, cast
}

func TestDocumentSaysWhatTheTemplateSays(t *testing.T) {
	if *update {
		t.Skip("SKIPPED: the document is being made.")
	}
	old, cast := written(t)
	script, err := Script(cast)
	must(t, err)
	for i := range old {
		for k := range old[i].Steps {
			old[i].Steps[k].Output = ""
		}
	}
	for _, d := range Differences(old, script, cast, cast) {
		t.Errorf("%s\nmake it again: go test ./lab/walk -update, as root", d)
	}
}

func TestDocumentShowsWhatALabShows(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: NOT ROOT. This test brings up a lab; run it with sudo.")
	}
	if testing.Short() {
		t.Skip("SKIPPED: -short. This test boots a whole cloud.")
	}
	if _, err := exec.LookPath("openstack"); err != nil {
		t.Skip("SKIPPED: NO OPENSTACK CLIENT. Install python3-openstackclient, or run: make deps")
	}
	ctx, l := cloud(t)
	cast, err := Meet(ctx, l)
	must(t, err)
	script, err := Script(cast)
	must(t, err)
	now, err := script.Walk(ctx, l)
	must(t, err)
	if *update {
		must(t, os.WriteFile(document, []byte(now.String()), 0o644))
		return
	}
	old, was := written(t)
	for _, d := range Differences(old, now, was, cast) {
		t.Errorf("%s\nif it is meant so, make the document again: go test ./lab/walk -update, as root", d)
	}
}

// cloud is a lab of the test's own, quiet after the proofs of its own making.
func cloud(t *testing.T) (context.Context, *lab.Lab) {
	t.Helper()
	ctx, stop := signal.NotifyContext(t.Context(), unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	t.Cleanup(stop)
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	t.Cleanup(cancel)
	binary := filepath.Join(t.TempDir(), "neutrino")
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, "neutrino/cmd/neutrino")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	dir, err := os.MkdirTemp("", "walk-")
	must(t, err)
	l, err := lab.New(ctx, lab.Settings{Name: filepath.Base(dir), Dir: filepath.Join(dir, "lab"), Binary: binary})
	must(t, err)
	l.Progress = t.Output()
	t.Cleanup(func() {
		down, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		// Not RemoveAll: what Down left is a failure.
		if err := errors.Join(l.Down(down), os.Remove(dir)); err != nil {
			t.Errorf("down: %v", err)
		}
	})
	_, err = l.Up(ctx, lab.UpOptions{})
	must(t, err)
	must(t, settle(ctx, l))
	return ctx, l
}

// settle waits until what Up made for its proofs is gone from the hosts.
func settle(ctx context.Context, l *lab.Lab) error {
	wait, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		left, err := leftovers(wait, l)
		unsettled, err2 := links(wait, l)
		if left, err = left+unsettled, errors.Join(err, err2); err == nil && left == "" {
			return nil
		}
		select {
		case <-wait.Done():
			return fmt.Errorf("walk: the hosts do not settle: %s: %w", left, errors.Join(err, wait.Err()))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// links is what a link still shows of its first seconds: an operational state
// that has not followed the carrier yet, which takes the kernel up to a second, or
// an address that duplicate address detection has not confirmed.
func links(ctx context.Context, l *lab.Lab) (string, error) {
	var out strings.Builder
	look := func(on string, list string, err error) error {
		for line := range strings.Lines(list) {
			if strings.Contains(line, "NO-CARRIER") || strings.Contains(line, "tentative") {
				out.WriteString(on + ": " + line)
			}
		}
		return err
	}
	var errs []error
	for _, g := range l.Guests() {
		r, err := g.Exec(ctx, "ip addr")
		errs = append(errs, look(g.Name, r.Stdout, err))
	}
	h, err := l.Host("network1")
	if err != nil {
		return "", err
	}
	list, err := h.Run(ctx, "sh", "-c", "for n in $(ip netns | cut -d ' ' -f 1); do ip netns exec $n ip addr; done")
	errs = append(errs, look("network1", list, err))
	return out.String(), errors.Join(errs...)
}

func leftovers(ctx context.Context, l *lab.Lab) (string, error) {
	for host, want := range map[string]int{"network1": 2, "compute1": 0} {
		h, err := l.Host(host)
		if err != nil {
			return "", err
		}
		out, err := h.Run(ctx, "sh", "-c", "ip netns; ovs-ofctl dump-flows br-tun | grep -c tun_id=")
		if err != nil {
			return "", err
		}
		if lines := strings.Split(out, "\n"); len(lines) != want+1 || lines[want] != "1" {
			return host + ": " + out, nil
		}
	}
	return "", nil
}

func TestWhatVariesIsNotCompared(t *testing.T) {
	var a, b Cast
	a.name()
	b.name()
	a.VM = Member{a.VM.Role, "7c7ae61e-05aa-4b51-a2b6-4e0d6b5f3c11", "fa:16:3e:03:00:e7"}
	b.VM = Member{b.VM.Role, "11111111-2222-4333-8444-555555555555", "fa:16:3e:dd:c1:62"}
	for i, m := range a.members()[1:] {
		m.ID = fmt.Sprintf("0000000%d-aaaa-4aaa-8aaa-aaaaaaaaaaaa", i)
	}
	for i, m := range b.members()[1:] {
		m.ID = fmt.Sprintf("0000000%d-bbbb-4bbb-8bbb-bbbbbbbbbbbb", i)
	}
	for _, c := range []struct {
		old, now string
		same     bool
	}{
		{"tap7c7ae61e-05", "tap11111111-22", true},
		{"neutron-openvswi-o7c7ae61e-0", "neutron-openvswi-o11111111-2", true},
		{"tap7c7ae61e-05", "tap7c7ae61e-05", false}, // the same letters are another's now
		{"fe80::f816:3eff:fe03:e7", "fe80::f816:3eff:fedd:c162", true},
		{"load:0xfa163e0300e7->NXM_NX_ARP_SHA[]", "load:0xfa163eddc162->NXM_NX_ARP_SHA[]", true},
		{"arp_sha=fa:16:3e:03:00:e7", "arp_sha=fa:16:3e:03:00:e7", false},
		{"cookie=0x1, n_packets=1", "cookie=0x2, n_packets=77", true},
		{"priority=1", "priority=2", false},
		{"-s 10.1.0.2/32 -j DROP", "-s 10.1.0.2/32 -j RETURN", false},
	} {
		if got := a.Normal(c.old) == b.Normal(c.now); got != c.same {
			t.Errorf("%q and %q compare as %v: %q, %q", c.old, c.now, got, a.Normal(c.old), b.Normal(c.now))
		}
	}
}

func TestOrderOfLinesCountsOnlyWhereItIsPromised(t *testing.T) {
	one := Document{{Steps: []Step{{On: "h", Command: "c", Output: "x\n b\n  2\n a\n  1"}}}}
	two := Document{{Steps: []Step{{On: "h", Command: "c", Output: "x\n a\n  1\n b\n  2"}}}}
	if len(Differences(one, two, Cast{}, Cast{})) == 0 {
		t.Error("an order that changed is not seen")
	}
	two[0].Unordered = true
	if d := Differences(one, two, Cast{}, Cast{}); len(d) > 0 {
		t.Errorf("in a block without order: %v", d)
	}
	two[0].Steps[0].Output = "x\n a\n  2\n b\n  1"
	if len(Differences(one, two, Cast{}, Cast{})) == 0 {
		t.Error("what moved below another heading is not seen")
	}
}
