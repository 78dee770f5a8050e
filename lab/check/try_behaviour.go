package check

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"neutrino/lab"
)

// overlappingProjects gives a second project the seed's addresses on both
// hosts: each reaches its own and sees nothing of the other.
func overlappingProjects(ctx context.Context, c *Cloud) (string, error) {
	network, err := c.privateNetwork(ctx, "check-other", "check-other", 7004)
	if err != nil {
		return "", err
	}
	near, _, err := c.instance(ctx, lab.InstanceSpec{Name: "near", Host: c.compute.Name, Network: network, Project: "check-other", IP: c.guest.Address})
	if err != nil {
		return "", err
	}
	far, _, err := c.instance(ctx, lab.InstanceSpec{Name: "far", Host: c.network.Name, Network: network, Project: "check-other", IP: "10.1.0.50"})
	if err != nil {
		return "", err
	}
	if err := until(ctx, patience, func(ctx context.Context) error { return near.Ping(ctx, "10.1.0.50") }); err != nil {
		return "", fmt.Errorf("inside the second project: %w", err)
	}
	seen, err := c.seenOn(ctx, point{"compute", near.Tap(), "ether src $mac or ether src $dmac"}, func(ctx context.Context) error {
		if c.inGuest(ctx, "ping -c 2 -W 1 10.1.0.50") == nil {
			return errors.New("the VM reaches the second project's 10.1.0.50")
		}
		return c.guestPings(ctx)
	})
	if err == nil && len(seen) > 0 {
		err = errors.New("a frame of the first project is seen in the second: " + seen[0])
	}
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("both have %s; each reaches its own, 0 frames cross", c.guest.Address),
		errors.Join(c.remove(ctx, near.Name), c.remove(ctx, far.Name), c.dropNetwork(ctx, network))
}

// agentRestartKeepsTraffic kills both agents and starts them again under a
// ping each 10 ms and an idle connection opened from inside.
func agentRestartKeepsTraffic(ctx context.Context, c *Cloud) (seen string, err error) {
	serve := c.expand("ip netns exec $ns busybox nc -l -p 9000 -e /bin/cat")
	server := c.network.Command(ctx, "sh", "-c", serve)
	if err := server.Start(); err != nil {
		return "", err
	}
	defer func() {
		_ = server.Process.Kill() // it may have ended
		_ = server.Wait()
	}()
	start := c.expand("rm -f /tmp/idle /tmp/in; mkfifo /tmp/in; (sleep 60 > /tmp/in &) ; (nc $dip 9000 < /tmp/in > /tmp/idle 2>&1 &); " +
		"(ping -i 0.01 -c 600 -q $dip > /tmp/ping 2>&1; echo done >> /tmp/ping) >/dev/null 2>&1 &")
	if err := until(ctx, patience, func(ctx context.Context) error {
		_, err := c.sh(ctx, "network", "ip netns exec $ns busybox netstat -ltn | grep -q :9000")
		return err
	}); err != nil {
		return "", err
	}
	if err := c.inGuest(ctx, start); err != nil {
		return "", err
	}
	for _, h := range []*lab.Host{c.compute, c.network} {
		if err := h.Kill(ctx, "neutrino-agent"); err != nil {
			return "", err
		}
		if err := h.Restart(ctx, "neutrino-agent"); err != nil {
			return "", err
		}
	}
	var out string
	if err := until(ctx, 4*patience, func(ctx context.Context) error {
		out, err = c.sh(ctx, "guest", "cat /tmp/ping")
		if err == nil && !strings.Contains(out, "done") {
			err = errors.New("the ping still runs")
		}
		return err
	}); err != nil {
		return brief(out), err
	}
	if !strings.Contains(out, " 0% packet loss") {
		return brief(out), errors.New("packets were lost")
	}
	idle, err := c.sh(ctx, "guest", "echo still-alive > /tmp/in; for i in 1 2 3 4 5 6 7 8 9 10; do grep -q still-alive /tmp/idle && break; usleep 200000; done; cat /tmp/idle")
	if err == nil {
		err = has("still-alive")(c, idle)
	}
	return brief(out) + "; idle session echoes", err
}

func namesByUUID(ctx context.Context, c *Cloud) (string, error) {
	looks := []struct{ on, command, want string }{
		{"network", "ip netns list | grep -c $net", "1"},
		{"network", "pgrep -fc '[d]nsmasq.*$net'", "1"},
		{"compute", "ovs-vsctl --bare --columns=name find Interface external_ids:iface-id=$port", "qvo$p11"},
		{"network", "ovs-vsctl --bare --columns=name find Interface external_ids:iface-id=$dhcp", "tap$d11"},
	}
	var seen []string
	for _, l := range looks {
		out, err := c.sh(ctx, l.on, l.command)
		if err == nil {
			err = is(l.want)(c, out)
		}
		if err != nil {
			return strings.Join(seen, ", "), fmt.Errorf("%s: %w", c.expand(l.command), err)
		}
		seen = append(seen, out)
	}
	return strings.Join(seen, ", "), nil
}

// deadUntilFiltered plugs a port while the agent is away: it is on the dead
// VLAN. With the agent back, its chains are there before its VLAN is.
func deadUntilFiltered(ctx context.Context, c *Cloud) (string, error) {
	if err := c.compute.Kill(ctx, "neutrino-agent"); err != nil {
		return "", err
	}
	restarted := false
	defer func() {
		if !restarted {
			_ = c.compute.Restart(context.WithoutCancel(ctx), "neutrino-agent") // the row has failed already
		}
	}()
	c.made = append(c.made, "dead1")
	g, err := c.lab.AddInstance(ctx, lab.InstanceSpec{Name: "dead1", Kind: lab.KindNamespace, Host: c.compute.Name, Network: c.guest.NetworkID})
	if err != nil {
		return "", err
	}
	look := fmt.Sprintf("iptables -S | grep -c -- '-N $X-[io]%s' ; ovs-vsctl get Port qvo%s tag; true", g.PortID[:10], g.PortID[:11])
	before, err := c.sh(ctx, "compute", look)
	if err == nil {
		err = set("0", "4095")(c, before)
	}
	if err != nil {
		return before, err
	}
	if err := c.compute.Restart(ctx, "neutrino-agent"); err != nil {
		return "", err
	}
	restarted = true
	// The VLAN is read first, the chains after it: chains that come later than
	// the VLAN are caught by a reading with the VLAN and without the chains.
	live := fmt.Sprintf("t=$(ovs-vsctl get Port qvo%s tag); n=$(iptables -S | grep -c -- '-N $X-[io]%s'); echo $t $n", g.PortID[:11], g.PortID[:10])
	begin := time.Now()
	var out string
	var early error
	err = until(ctx, patience, func(ctx context.Context) error {
		if out, err = c.sh(ctx, "compute", live); err != nil {
			return err
		}
		if out == c.expand("$lv 2") {
			return nil
		}
		if strings.HasPrefix(out, c.expand("$lv ")) {
			early = errors.New("on its VLAN without its chains: " + out)
		}
		return errors.New("not wired yet: " + out)
	})
	err = errors.Join(err, early)
	return fmt.Sprintf("VLAN 4095 without chains, then %s with both chains after %v", out, time.Since(begin).Round(time.Millisecond)),
		errors.Join(err, c.remove(ctx, "dead1"))
}

// unplugCleansAll removes an instance and looks for what it left.
func unplugCleansAll(ctx context.Context, c *Cloud) (string, error) {
	g, _, err := c.instance(ctx, lab.InstanceSpec{Name: "gone1", Host: c.compute.Name, Network: c.guest.NetworkID})
	if err != nil {
		return "", err
	}
	look := fmt.Sprintf("ip -o link | grep %[1]s; iptables-save | grep -e %[2]s; ip6tables-save | grep -e %[2]s; ovs-vsctl list-ports br-int | grep %[1]s; "+
		"ovs-ofctl --names dump-flows br-int | grep -e %[1]s; ovs-ofctl dump-flows br-tun | grep %[3]s; echo end", g.PortID[:11], g.PortID[:10], g.MAC)
	during, err := c.sh(ctx, "compute", look)
	if err != nil {
		return "", err
	}
	if err := c.remove(ctx, g.Name); err != nil {
		return "", err
	}
	_, err = c.expect(ctx, "compute", look, is("end"))
	return fmt.Sprintf("%d lines with the port's names, then none", strings.Count(during, "\n")), err
}
