package faults

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"neutrino"
	"neutrino/lab"
	"neutrino/store"
	"neutrino/store/engine/sqlite"
)

// storeMain is "frames lose FILE": it takes the ports that its input names out of a
// store, behind the server's back, and prints them; "frames find FILE" puts back
// what the other printed.
func storeMain(args []string, in io.Reader, out io.Writer) int {
	err := changeStore(args, in, out)
	if err != nil {
		fmt.Fprintln(out, "error", err)
		return 1
	}
	return 0
}

func changeStore(args []string, in io.Reader, out io.Writer) (err error) {
	ctx := context.Background()
	e, err := sqlite.Open(ctx, sqlite.Options{Path: args[1]})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	db, err := store.Open(ctx, e)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	_, err = db.Update(ctx, func(tx *store.Tx) error {
		for lines := bufio.NewScanner(in); lines.Scan(); {
			if args[0] == "find" {
				p := &neutrino.Port{}
				if err := json.Unmarshal(lines.Bytes(), p); err != nil {
					return err
				}
				store.Put(tx, store.Ports, p)
				continue
			}
			p, ok := store.Get(tx, store.Ports, neutrino.ID(lines.Text()))
			if !ok {
				return fmt.Errorf("there is no port %s", lines.Text())
			}
			if err := json.NewEncoder(out).Encode(p); err != nil {
				return err
			}
			store.Delete(tx, store.Ports, p.ID)
		}
		return nil
	})
	return err
}

// behindItsBack stops the server, changes its store and starts it again.
func (w *world) behindItsBack(word, input string) string {
	w.Helper()
	w.must(w.server.Stop(w.ctx, serverProcess))
	cmd := w.server.Command(w.ctx, testBinary(), framesCommand, word, "/var/lib/neutron/neutron.sqlite")
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.Output()
	restarted := w.server.Restart(w.ctx, serverProcess)
	if err != nil {
		w.Fatalf("%s: %v: %s", word, err, out)
	}
	w.must(restarted)
	w.until(repairTime, func() error { _, err := w.api.List(w.ctx, "networks", nil); return err })
	return string(out)
}

// pinging is a ping that runs until it is asked how it went.
type pinging struct {
	*world
	cmd   *exec.Cmd
	out   bytes.Buffer
	began time.Time
}

// pingEvery is the interval of a ping.
const pingEvery = 20 * time.Millisecond

func (w *world) pinging(from *lab.Guest, to string) *pinging {
	w.Helper()
	p := &pinging{world: w, began: time.Now(), cmd: from.Command(w.ctx, "ping", "-n", "-i", fmt.Sprint(pingEvery.Seconds()), to)}
	p.cmd.Stdout = &p.out
	w.must(p.cmd.Start())
	w.Cleanup(func() { _ = p.cmd.Process.Kill() })
	return p
}

// lost ends the ping and is how many packets had no answer, but for those that were
// on their way at the end.
func (p *pinging) lost() (lost, answered int) {
	p.Helper()
	_ = p.cmd.Process.Signal(os.Interrupt)
	_ = p.cmd.Wait() // its code says what we count
	last := 0
	for _, m := range regexp.MustCompile(`(?:icmp_)?seq=(\d+)`).FindAllStringSubmatch(p.out.String(), -1) {
		n, err := strconv.Atoi(m[1])
		p.must(err)
		lost, last, answered = lost+max(0, n-last-1), n, answered+1
	}
	return lost, answered
}

// holds waits until the fuse of a host holds objects that no request explains.
func (w *world) holds(h *lab.Host) {
	w.Helper()
	w.until(3*repairTime, func() error {
		st, err := w.status(h)
		if err == nil && (st.Fuse == nil || st.Fuse.Asked) {
			err = fmt.Errorf("%s holds nothing yet: %+v", h.Name, st.Fuse)
		}
		return err
	})
}

// The ports of a network are gone from the store behind the server's back. Nothing
// of them ends, also when the agent starts again, until an operator says so; and
// when the store has them again, all is as it was.
func TestAStoreThatLostItsPortsEndsNothing(t *testing.T) {
	w := story(t)
	network := w.subnet("fuse", "10.96.0.0/24")
	var guests []*lab.Guest
	var ids []string
	for n := range 6 {
		g := w.instance(lab.InstanceSpec{Name: fmt.Sprint("fuse-", n), Network: network})
		guests, ids = append(guests, g), append(ids, g.PortID)
	}
	a, b := guests[0], guests[1]
	w.must(a.Ping(w.ctx, b.Address))
	log, traffic := w.journal(w.compute), w.pinging(a, b.Address)
	rows := w.behindItsBack("lose", strings.Join(ids, "\n"))
	back := false
	t.Cleanup(func() {
		if !back {
			w.behindItsBack("find", rows)
		}
	})
	w.holds(w.compute)
	w.must(log.says("THE FUSE HOLDS", "neutrino agent release", guests[0].PortID))
	w.must(w.compute.Kill(w.ctx, agentProcess))
	w.must(w.compute.Restart(w.ctx, agentProcess))
	w.holds(w.compute)
	w.until(reportTime, func() error {
		for _, s := range w.lab.Status(w.ctx).Agents {
			if s.Host == w.compute.Name && strings.Contains(fmt.Sprint(s.Conditions), "the fuse holds") {
				return nil
			}
		}
		return errors.New("neutrino lab status does not say that the fuse holds")
	})
	listed := w.sh(w.compute, w.lab.Binary+" agent release")
	if !strings.Contains(listed, "port/"+ids[5]) || !strings.Contains(listed, "nothing is released") {
		t.Errorf("neutrino agent release: %s", listed)
	}
	if views := w.sh(w.compute, w.lab.Binary+" agent views"); !strings.Contains(views, "rows of before held") || !strings.Contains(views, "view.1") {
		t.Errorf("neutrino agent views: %s", views)
	}
	lost, answered := traffic.lost()
	t.Logf("%d packets were answered, %d lost", answered, lost)
	// A busy machine sends fewer than it is told to.
	if least := int(time.Since(traffic.began) / (4 * pingEvery)); lost > 0 || answered < least {
		t.Errorf("%d packets lost, %d answered", lost, answered)
	}
	w.sh(w.compute, w.lab.Binary+" agent release --yes")
	w.until(repairTime, func() error {
		st, err := w.status(w.compute)
		if err == nil && st.Fuse != nil {
			err = errors.New("the fuse still holds")
		}
		return err
	})
	w.until(repairTime, func() error {
		if a.Ping(w.ctx, b.Address) == nil {
			return errors.New("the instances are released and still wired")
		}
		return nil
	})
	w.behindItsBack("find", rows)
	back = true
	took := w.until(3*repairTime, func() error { return a.Ping(w.ctx, b.Address) })
	t.Logf("traffic %v after the store had its rows again", took.Round(time.Millisecond))
	w.asWanted(3 * repairTime)
}
