package l3

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"neutrino/lab"
)

// serverState is the directory of the server's database.
const serverState = "/var/lib/neutron"

// ready is what the server's /readyz answers.
func (w *world) ready() string {
	ctx, cancel := context.WithTimeout(w.ctx, 3*time.Second)
	defer cancel()
	ask, err := http.NewRequestWithContext(ctx, http.MethodGet, w.lab.Endpoint()+"/readyz", nil)
	w.must(err)
	answer, err := http.DefaultClient.Do(ask)
	if err != nil {
		return err.Error()
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return err.Error()
	}
	return string(body)
}

// ontoASmallDisk gives the server a disk of its own that is soon full, and its
// old one back when the story ends.
func (w *world) ontoASmallDisk(server *lab.Host) {
	w.Helper()
	swap := func(between string) string {
		return "mkdir /run/copy; cp -a " + serverState + "/. /run/copy/; " + between + "; cp -a /run/copy/. " + serverState + "/; rm -r /run/copy"
	}
	answers := func() error { _, err := w.api.List(w.ctx, "networks", nil); return err }
	w.must(server.Stop(w.ctx, serverProcess))
	w.sh(server, swap("mount -t tmpfs -o size=4m,mode=700 tmpfs "+serverState))
	w.Cleanup(func() {
		_ = server.Stop(w.ctx, serverProcess)
		if _, err := server.Run(w.ctx, "sh", "-ec", "rm -f "+serverState+"/ballast; "+swap("umount "+serverState)); err != nil {
			w.Errorf("cleanup: %v", err)
		}
		if err := server.Restart(w.ctx, serverProcess); err != nil {
			w.Errorf("cleanup: %v", err)
		}
		w.until(patience, answers)
	})
	w.must(server.Restart(w.ctx, serverProcess))
	w.until(patience, answers)
}

// The store is full for several down times, with all agents connected, and then
// has room: no router moves and no packet is lost.
func TestAFullStoreMovesNothing(t *testing.T) {
	w := story(t)
	server, err := w.lab.Host(lab.RoleController)
	w.must(err)
	router := w.one("routers", lab.Query{"name": lab.SeedRouter}).ID()
	network := w.one("networks", lab.Query{"name": lab.SeedNetwork}).ID()
	var made []string
	w.Cleanup(func() {
		for _, id := range made {
			if err := w.api.Delete(context.Background(), "ports", id); err != nil {
				w.Errorf("cleanup: %v", err)
			}
		}
	})
	w.ontoASmallDisk(server)
	w.asWanted()
	runs, _ := w.routerHost(router)
	p := w.ping(lab.SeedFloatingIP, 20*time.Millisecond)
	w.until(patience, func() error { return w.heard(p, time.Time{}) })
	_, _ = server.Run(w.ctx, "sh", "-c", "dd if=/dev/zero of="+serverState+"/ballast bs=4k 2>/dev/null") // fails, and has filled the disk
	w.until(patience, func() error {
		o, err := w.api.Create(w.ctx, "ports", lab.Object{"network_id": network, "name": "full"})
		if err == nil {
			made = append(made, o.ID())
			return fmt.Errorf("%d ports, and the disk is not full", len(made))
		}
		return nil
	})
	stays := func(d time.Duration, state string) {
		w.Helper()
		w.until(patience, func() error {
			if said := w.ready(); !strings.Contains(said, state) {
				return fmt.Errorf("/readyz says %s", said)
			}
			return nil
		})
		for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
			if now, _ := w.routerHost(router); now.Name != runs.Name {
				t.Fatalf("the router moved from %s to %s", runs.Name, now.Name)
			}
		}
	}
	stays(4*downTime, `"not ready"`)
	if said := w.ready(); !strings.Contains(said, "cannot write") {
		t.Errorf("after %v /readyz says %s", 4*downTime, said)
	}
	w.sh(server, "rm "+serverState+"/ballast")
	stays(3*downTime, `"ready"`)
	count, err := p.Stop()
	w.must(err)
	if count.Lost > 0 || count.Twice > 0 {
		t.Errorf("of %d pings %d were lost and %d answered twice", count.Sent, count.Lost, count.Twice)
	}
	t.Logf("%d pings, %d lost", count.Sent, count.Lost)
	w.asWanted()
}
