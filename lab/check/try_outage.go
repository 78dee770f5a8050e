package check

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"neutrino"
	"neutrino/lab"
)

// renew lets the VM renew its lease and wants an ACK without a NAK before it.
func (c *Cloud) renew(ctx context.Context) (string, error) {
	out, err := c.sh(ctx, "guest", "n=$(wc -l </run/udhcpc.log); killall -USR1 udhcpc; "+
		"for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do "+
		"tail -n +$((n+1)) /run/udhcpc.log | grep -q obtained && break; usleep 250000; done; tail -n +$((n+1)) /run/udhcpc.log")
	if err == nil {
		err = all(has("lease of $ip obtained"), without("NAK"))(c, out)
	}
	return brief(out), err
}

// renewalAfterFailover hands the network to a DHCP server that has never heard
// of the VM's lease: on another network host, or, where there is none, to a new
// one without the leases of the old.
func renewalAfterFailover(ctx context.Context, c *Cloud) (string, error) {
	for _, h := range c.lab.Hosts() {
		if h.Role == lab.RoleNetwork && h.Name != c.network.Name {
			return c.moveDHCP(ctx, h)
		}
	}
	before, err := c.sh(ctx, "network", "cat $dir/pid")
	if err != nil {
		return "", err
	}
	if out, err := c.sh(ctx, "network", "rm -f $dir/leases; kill $(cat $dir/pid)"); err != nil {
		return out, err
	}
	now, err := c.expect(ctx, "network", "test $(cat $dir/pid) != "+before+" && kill -0 $(cat $dir/pid) && cat $dir/pid", like(`\d`))
	if err != nil {
		return now, err
	}
	seen, err := c.renew(ctx)
	return "new dnsmasq without leases: " + seen, err
}

// moveDHCP moves the network to another host's agent and back.
func (c *Cloud) moveDHCP(ctx context.Context, to *lab.Host) (string, error) {
	from := c.network
	err := c.takeOver(ctx, from, to)
	var seen string
	if err == nil {
		seen, err = c.renew(ctx)
	}
	return to.Name + " serves: " + seen, errors.Join(err, c.takeOver(context.WithoutCancel(ctx), to, from))
}

// takeOver lets the server lose a host's DHCP agent: another takes its networks
// over. The agent comes back as a new one, without them.
func (c *Cloud) takeOver(ctx context.Context, from, to *lab.Host) error {
	agent, err := c.one(ctx, "agents", lab.Query{"host": from.Name, "agent_type": neutrino.AgentDHCP})
	if err != nil {
		return err
	}
	if err := c.lab.Client().Delete(ctx, "agents", agent.ID()); err != nil {
		return err
	}
	err = until(ctx, patience, func(ctx context.Context) error {
		_, err := to.Run(ctx, "sh", "-c", c.expand("ip netns pids $ns | grep -x $(cat $dir/pid)"))
		return err
	})
	if err == nil {
		err = until(ctx, patience, c.guestPings)
	}
	if err != nil {
		return fmt.Errorf("%s takes over from %s: %w", to.Name, from.Name, err)
	}
	if err := from.Restart(ctx, agentProcess); err != nil {
		return err
	}
	return until(ctx, patience, func(ctx context.Context) error {
		_, err := c.one(ctx, "agents", lab.Query{"host": from.Name, "agent_type": neutrino.AgentDHCP})
		return err
	})
}

var age = regexp.MustCompile(`duration=([0-9.]+)s`)

// younger counts the flows of the compute host that are not as old as that.
func (c *Cloud) younger(ctx context.Context, span time.Duration) (young, total int, err error) {
	out, err := c.sh(ctx, "compute", "ovs-ofctl dump-flows br-tun; ovs-ofctl dump-flows br-int")
	for _, m := range age.FindAllStringSubmatch(out, -1) {
		seconds, e := strconv.ParseFloat(m[1], 64)
		if e != nil {
			return 0, 0, e
		}
		total++
		if time.Duration(seconds*float64(time.Second)) < span {
			young++
		}
	}
	return young, total, err
}

// serverOutage stops the server and looks at all that must go on without it.
func serverOutage(ctx context.Context, c *Cloud) (seen string, err error) {
	if err := c.uplink(ctx, lab.UplinkNIC); err != nil {
		return "", err
	}
	controller, err := c.lab.Host(lab.RoleController)
	if err != nil {
		return "", err
	}
	pid, err := c.sh(ctx, "network", "cat $dir/pid")
	if err != nil {
		return "", err
	}
	if err := controller.Stop(ctx, serverProcess); err != nil {
		return "", err
	}
	began := time.Now()
	ping, lost := c.sh(ctx, "guest", "ping -q -c 50 -i 0.02 $far")
	if lost == nil {
		lost = has(" 0% packet loss")(c, ping)
	}
	_, renewed := c.renew(ctx)
	_, told := metadata(ctx, c)
	failed := errors.Join(lost, renewed, told, c.pageFrom(ctx, c.vars["fip"], c.guest.Name))
	if err := controller.Restart(context.WithoutCancel(ctx), serverProcess); err != nil {
		return "", errors.Join(failed, err)
	}
	if failed != nil {
		return "", fmt.Errorf("without the server: %w", failed)
	}
	// The agents are back when a change reaches them.
	if _, err := c.expectAPI(ctx); err != nil {
		return "", err
	}
	if _, err := ruleAppears(ctx, c); err != nil {
		return "", err
	}
	if _, err := floatingAddress(ctx, c); err != nil {
		return "", err
	}
	young, total, err := c.younger(ctx, time.Since(began))
	if err == nil && young > 0 {
		err = fmt.Errorf("%d of %d flows were made again", young, total)
	}
	if err == nil {
		_, err = c.expect(ctx, "network", "cat $dir/pid", is(pid))
	}
	return fmt.Sprintf("%s; renewal, metadata and $fip too; afterwards 0 of %d flows are new, dnsmasq is pid %s as before",
		lossOf(ping), total, pid), err
}

// expectAPI waits until the API answers.
func (c *Cloud) expectAPI(ctx context.Context) (found int, err error) {
	err = until(ctx, patience, func(ctx context.Context) error {
		networks, err := c.lab.Client().List(ctx, "networks", nil)
		found = len(networks)
		return err
	})
	return found, err
}

// lossOf is the line of ping's summary.
func lossOf(out string) string {
	for line := range strings.Lines(out) {
		if strings.Contains(line, "packet loss") {
			return strings.TrimSpace(line)
		}
	}
	return ""
}
