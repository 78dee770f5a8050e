package check

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"neutrino"
	"neutrino/lab"
)

// The lab's names of processes.
const (
	agentProcess  = "neutrino-agent"
	serverProcess = "neutrino-server"
)

// uplink gives the router's host this way out; tidy puts the lab's own back.
func (c *Cloud) uplink(ctx context.Context, u lab.Uplink) error {
	before := c.lab.CurrentUplink()
	if before == u {
		return nil
	}
	if err := c.lab.SetUplink(ctx, u); err != nil {
		return err
	}
	c.later(func(ctx context.Context) error { return c.lab.SetUplink(ctx, before) })
	return until(ctx, patience, func(ctx context.Context) error {
		_, err := c.sh(ctx, "router", "$Q ping -c 1 -W 1 $xgw")
		return err
	})
}

// disturb starts the agent of the router's host again, changes the security
// group, and waits until the agent has done something new.
func (c *Cloud) disturb(ctx context.Context) error {
	if err := c.router.Restart(ctx, agentProcess); err != nil {
		return err
	}
	if _, err := ruleAppears(ctx, c); err != nil {
		return err
	}
	_, err := floatingAddress(ctx, c)
	return err
}

func leavesUntagged(ctx context.Context, c *Cloud) (string, error) {
	if err := c.uplink(ctx, lab.UplinkNIC); err != nil {
		return "", err
	}
	out, err := c.sh(ctx, "router", "$Q ping -c 1 -W 2 $xgw >/dev/null; m=$($Q cat /proc/net/arp | grep -F '$xgw ' | awk '{print $4}'); "+
		"ovs-appctl ofproto/trace --names br-ex in_port=tap$g11,dl_src=$gmac,dl_dst=$m,ip,nw_src=$gip,nw_dst=$far")
	if err == nil {
		err = all(has("NORMAL", "Final flow: unchanged", "Datapath actions: eth1"), without("push_vlan"))(c, out)
	}
	return brief(out), err
}

func operatorsBridge(ctx context.Context, c *Cloud) (string, error) {
	if out, err := c.sh(ctx, "router", "ovs-vsctl add-port br-ex byhand -- set Interface byhand type=internal && "+
		"ovs-ofctl add-flow br-ex cookie=0xbeef,priority=7,udp,tp_dst=9,actions=drop"); err != nil {
		return out, err
	}
	err := c.disturb(ctx)
	var out string
	if err == nil {
		out, err = c.sh(ctx, "router", "ovs-vsctl list-ports br-ex; ovs-ofctl --no-stats dump-flows br-ex cookie=0xbeef/-1")
	}
	if err == nil {
		err = has("byhand", "tp_dst=9")(c, out)
	}
	_, cleaned := c.sh(context.WithoutCancel(ctx), "router", "ovs-vsctl del-port br-ex byhand; ovs-ofctl del-flows br-ex cookie=0xbeef/-1")
	return brief(out), errors.Join(err, cleaned)
}

// missingBridge maps a physical network to a bridge that nobody made, and has
// a network on it: what is reported is that alone.
func missingBridge(ctx context.Context, c *Cloud) (seen string, err error) {
	conf := filepath.Join(c.router.Dir(), "neutron.conf")
	before, err := os.ReadFile(conf)
	if err != nil {
		return "", err
	}
	restart := func(ctx context.Context, content string) error {
		if err := os.WriteFile(conf, []byte(content), 0o644); err != nil {
			return err
		}
		return c.router.Restart(ctx, agentProcess)
	}
	defer func() { err = errors.Join(err, restart(context.WithoutCancel(ctx), string(before))) }()
	mapped := strings.Replace(string(before), "public:br-ex", "public:br-ex,ghost:br-ghost", 1)
	if err := restart(ctx, mapped); err != nil {
		return "", err
	}
	if err := c.portOnGhost(ctx); err != nil {
		return "", err
	}
	status := c.lab.Binary + " agent status"
	if seen, err = c.expect(ctx, "router", status, has("br-ghost")); err != nil {
		return seen, err
	}
	if _, err := floatingAddress(ctx, c); err != nil {
		return seen, fmt.Errorf("the other physical network: %w", err)
	}
	return seen, c.pageFrom(ctx, c.vars["fip"], c.guest.Name)
}

// portOnGhost binds a port of a network on the missing bridge to the host, once
// the server knows the mapping.
func (c *Cloud) portOnGhost(ctx context.Context) error {
	err := until(ctx, patience, func(ctx context.Context) error {
		agent, err := c.one(ctx, "agents", lab.Query{"host": c.router.Name, "agent_type": neutrino.AgentOVS})
		if err == nil && !strings.Contains(fmt.Sprint(agent["configurations"]), "br-ghost") {
			err = errors.New("the server does not know the mapping")
		}
		return err
	})
	if err != nil {
		return err
	}
	network, err := c.lab.Client().Create(ctx, "networks", lab.Object{
		"name": "check-ghost", "provider:network_type": "flat", "provider:physical_network": "ghost",
	})
	if err != nil {
		return err
	}
	c.objects = append(c.objects, made{"networks", network.ID()})
	port, err := c.lab.Client().Create(ctx, "ports", lab.Object{
		"network_id": network.ID(), "binding:host_id": c.router.Name, "device_owner": neutrino.OwnerComputePrefix + neutrino.DefaultZone,
	})
	if err == nil {
		c.objects = append(c.objects, made{"ports", port.ID()})
	}
	return err
}

func gatewayOnBridge(ctx context.Context, c *Cloud) (string, error) {
	if err := c.uplink(ctx, lab.UplinkNAT); err != nil {
		return "", err
	}
	out, err := c.sh(ctx, "router", "ip -4 -br addr show br-ex; $Q ping -c 1 -W 2 $xgw")
	if err == nil {
		err = has("172.24.4.225/28", " 0% packet loss")(c, out)
	}
	return brief(out), err
}

// stays wants a listing of the operator's rules to be the same after the agent
// was started again and a security group changed.
func (c *Cloud) stays(ctx context.Context, list, rule string) (string, error) {
	if err := c.uplink(ctx, lab.UplinkNAT); err != nil {
		return "", err
	}
	before, err := c.sh(ctx, "router", list)
	if err == nil {
		err = has(rule)(c, before)
	}
	if err != nil {
		return brief(before), err
	}
	if err := c.disturb(ctx); err != nil {
		return brief(before), err
	}
	after, err := c.sh(ctx, "router", list)
	return brief(after), errors.Join(err, same("the listing", after, before))
}

func forwardInStays(ctx context.Context, c *Cloud) (string, error) {
	return c.stays(ctx, "iptables -S FORWARD", "-A FORWARD -d 172.24.4.224/28 -j ACCEPT")
}

func forwardOutStays(ctx context.Context, c *Cloud) (string, error) {
	return c.stays(ctx, "iptables -S FORWARD", "-A FORWARD -s 172.24.4.224/28 -j ACCEPT")
}

func masquerade(ctx context.Context, c *Cloud) (string, error) {
	if err := c.uplink(ctx, lab.UplinkNAT); err != nil {
		return "", err
	}
	seen, err := c.source(ctx, c.guest, c.lab.Source())
	if err != nil {
		return seen, err
	}
	first, err := c.stays(ctx, "iptables -t nat -S POSTROUTING | sed -n 2p", "-A POSTROUTING -s 172.24.4.224/28 -j MASQUERADE")
	return first + "; " + seen, err
}

// directConnection plugs the NIC into the bridge, as the seed's last command
// does, and associates the VM's floating IP anew.
func directConnection(ctx context.Context, c *Cloud) (string, error) {
	for _, u := range []lab.Uplink{lab.UplinkNAT, lab.UplinkNIC} { // so that the command is run
		if err := c.uplink(ctx, u); err != nil {
			return "", err
		}
	}
	seen, err := c.seenOn(ctx, point{"router", "eth1", "arp and ether src $gmac and src host $fip"}, func(ctx context.Context) error {
		err := c.associate(ctx, c.vars["fipid"], nil)
		if err == nil {
			_, err = c.expect(ctx, "router", "$Q ip -4 addr show qg-$g11", without("$fip/32"))
		}
		return errors.Join(err, c.associate(context.WithoutCancel(ctx), c.vars["fipid"], c.guest.PortID),
			c.pageFrom(ctx, c.vars["fip"], c.guest.Name))
	})
	if err == nil && len(seen) == 0 {
		err = errors.New("the floating IP was not announced")
	}
	return brief(strings.Join(seen, " ")), err
}
