package faults

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"neutrino/lab"
)

// A network's directory is on a disk of its own that is full: the network is
// reported, others are made and served beside it.
func TestAFullDiskHarmsOnlyTheNetworkOnIt(t *testing.T) {
	w := story(t)
	a := w.instance(lab.InstanceSpec{Name: "disk-a"})
	full := w.create("networks", lab.Object{"name": "disk-full"}).ID()
	dir := dhcpRoot + "/" + full
	w.sh(w.network, "mkdir -p "+dir+"; mount -t tmpfs -o size=4k,mode=755 tmpfs "+dir)
	w.Cleanup(func() {
		_, err := w.network.Run(w.ctx, "sh", "-c", "umount -l "+dir+"; rmdir "+dir+"; true")
		w.late(err)
	})
	w.create("subnets", lab.Object{"network_id": full, "ip_version": 4, "cidr": "10.90.0.0/24"})
	log := w.journal(w.network)
	trouble := w.reported(w.network, "network/"+full, "no space left")
	if !strings.Contains(trouble.Reason, dir) {
		t.Errorf("the reason does not name the file: %s", trouble.Reason)
	}
	t.Logf("log: %v", log.says("not as planned", full))
	// Others go on: a new network with a lease, the old one too.
	b := w.instance(lab.InstanceSpec{Name: "disk-b", Network: w.subnet("disk-other", "10.91.0.0/24")})
	w.must(w.portStatus(b.PortID, "ACTIVE"))
	_, err := a.AwaitLease(w.ctx)
	w.must(err)
	w.sh(w.network, "mount -o remount,size=1m "+dir)
	took := w.until(30*time.Second, func() error { return w.quiet(w.network) })
	t.Logf("converged %v after there was space", took.Round(time.Millisecond))
	w.instance(lab.InstanceSpec{Name: "disk-c", Network: full}) // and gets its lease
}

// The server's database is on a full disk: writes fail with a clear word,
// reads go on, and nothing that was answered is lost.
func TestAServerOnAFullDiskSaysSoAndLosesNothing(t *testing.T) {
	w := story(t)
	network := w.subnet("full-store", "10.92.0.0/20")
	w.Cleanup(func() { w.removeAll("ports", network) })
	const state = "/var/lib/neutron"
	w.must(w.server.Stop(w.ctx, serverProcess))
	w.sh(w.server, "mkdir /run/copy; cp -a "+state+"/. /run/copy/; mount -t tmpfs -o size=3m,mode=755 tmpfs "+state+"; cp -a /run/copy/. "+state+"/; rm -r /run/copy")
	w.Cleanup(func() {
		_ = w.server.Stop(w.ctx, serverProcess)
		_, err := w.server.Run(w.ctx, "sh", "-ec", "rm -f "+state+"/ballast; mkdir /run/copy; cp -a "+state+"/. /run/copy/; umount "+state+"; cp -a /run/copy/. "+state+"/; rm -r /run/copy")
		w.late(err)
		w.late(w.server.Restart(w.ctx, serverProcess))
		w.until(repairTime, func() error { _, err := w.api.List(w.ctx, "networks", nil); return err })
	})
	w.must(w.server.Restart(w.ctx, serverProcess))
	w.until(repairTime, func() error { _, err := w.api.List(w.ctx, "networks", nil); return err })
	answered := map[string]bool{}
	create := func() error {
		p, err := w.api.Create(w.ctx, "ports", lab.Object{"network_id": network, "name": "burst"})
		if err == nil {
			answered[p.ID()] = true
		}
		return err
	}
	w.must(create())
	_, _ = w.look(w.server, "dd if=/dev/zero of="+state+"/ballast bs=4k 2>/dev/null") // fills the disk and fails
	var refused error
	for range 400 {
		if refused = create(); refused != nil {
			break
		}
	}
	if refused == nil || !lab.IsStatus(refused, 503) && !lab.IsStatus(refused, 500) {
		t.Fatalf("a full disk is answered with %v", refused)
	}
	t.Logf("after %d ports: %v", len(answered), refused)
	for _, word := range []string{"goroutine", "panic", ".go:"} {
		if strings.Contains(refused.Error(), word) {
			t.Errorf("the answer shows the inside: %v", refused)
		}
	}
	there := func() error {
		found, err := w.api.List(w.ctx, "ports", lab.Query{"network_id": network, "name": "burst"})
		if err == nil && len(found) != len(answered) {
			err = fmt.Errorf("%d ports, %d were answered", len(found), len(answered))
		}
		for _, p := range found {
			if !answered[p.ID()] {
				err = fmt.Errorf("port %s is there and was refused", p.ID())
			}
		}
		return err
	}
	w.must(there())
	w.must(w.server.Kill(w.ctx, serverProcess))
	w.sh(w.server, "rm "+state+"/ballast")
	w.must(w.server.Restart(w.ctx, serverProcess))
	w.until(repairTime, there)
	w.until(repairTime, create)
	w.must(there())
	w.asWanted(3 * repairTime)
}
