package lab

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"neutrino"
)

// Uplink is how the provider bridge of a network host reaches the outside:
// the two ways of the seed's last section.
type Uplink string

// The uplinks: a NIC on the bridge ("Direct network connection"), or the
// gateway's address on the bridge itself and NAT to the host's own address
// ("NAT to host address").
const (
	UplinkNIC Uplink = "nic"
	UplinkNAT Uplink = "nat"
)

// The public network as the outside has it.
const (
	externalName   = "external" // the switch
	externalNIC    = "eth1"     // of hosts that have one there
	ProviderBridge = "br-ex"    // made by the operator, here the lab
	ExternalCIDR   = "172.24.4.224/28"
	OutsideGateway = "172.24.4.225"   // the public network's gateway
	OutsideFar     = "198.51.100.1"   // beyond the gateway (TEST-NET-2, RFC 5737)
	outsideTransit = "203.0.113.1/24" // where the outside reaches hosts without the bridge (TEST-NET-3)
	hostTransit    = "203.0.113.11"
)

// SourcePage is the page of the outside's web server that tells who asks.
const SourcePage = "/cgi-bin/source"

const sourceScript = `#!/bin/sh
printf 'Content-Type: text/plain\r\n\r\n'
echo "$REMOTE_ADDR" | sed 's/^\[::ffff:\(.*\)\]$/\1/'
`

const (
	outsideHost  = "outside"
	processHTTPD = "httpd"
)

// hasBridge reports whether the host has the provider bridge.
func (h *Host) hasBridge() bool {
	st := h.lab.snapshot()
	return !st.Settings.Bare && (h.Role == RoleNetwork || h.Role == RoleCompute && (st.Settings.Provider || h.Provider))
}

// furnishOutside makes the outside: the gateway of the public network, an
// address beyond it, and a web server that tells its name, and at
// [SourcePage] who asks.
func (h *Host) furnishOutside(ctx context.Context) error {
	if err := h.lab.connect(ctx, cable{host: h.HostRecord, nic: uplinkName, to: externalName, port: h.Name}); err != nil {
		return err
	}
	files := map[string]string{"index.html": h.Name + "\n", SourcePage[1:]: sourceScript}
	for name, content := range files {
		if _, err := h.write(ctx, "www/"+name, content); err != nil {
			return err
		}
	}
	return h.steps(ctx,
		// Who feeds an Open vSwitch in user space fills in checksums itself.
		"ethtool -K "+uplinkName+" tx off",
		"ip address add "+OutsideFar+"/32 dev lo",
		"ip address add "+outsideTransit+" dev "+uplinkName,
		"chmod 755 "+h.Dir()+"/www"+SourcePage)
}

// open starts the outside's web server behind the lab's uplink.
func (h *Host) open(ctx context.Context) error {
	if err := h.lab.openOutside(ctx, h.lab.CurrentUplink()); err != nil {
		return h.fail(ctx, processHTTPD, err)
	}
	_, err := h.Start(ctx, processHTTPD, "busybox", "httpd", "-f", "-p", "80", "-h", h.Dir()+"/www")
	return h.fail(ctx, processHTTPD, err)
}

// steps runs commands of words one after the other.
func (h *Host) steps(ctx context.Context, commands ...string) error {
	for _, c := range commands {
		if _, err := h.Run(ctx, strings.Fields(c)...); err != nil {
			return err
		}
	}
	return nil
}

// plugExternal gives the host a NIC on the public network and the provider
// bridge, before any agent: both are the operator's.
func (h *Host) plugExternal(ctx context.Context) error {
	nic := cable{host: h.HostRecord, nic: externalNIC, to: externalName, port: h.Name + "-x"}
	if err := h.lab.connect(ctx, nic); err != nil {
		return err
	}
	if err := h.makeBridge(ctx); err != nil {
		return h.fail(ctx, processVswitchd, err)
	}
	if h.Role == RoleNetwork && h.lab.snapshot().Settings.Uplink == UplinkNAT {
		return h.fail(ctx, processVswitchd, h.uplinkNAT(ctx))
	}
	return h.fail(ctx, processVswitchd, h.steps(ctx, "ovs-vsctl --timeout=10 --may-exist add-port "+ProviderBridge+" "+externalNIC))
}

// makeBridge makes the provider bridge and sets it up. It can be repeated.
func (h *Host) makeBridge(ctx context.Context) error {
	return h.steps(ctx,
		"ovs-vsctl --timeout=10 --may-exist add-br "+ProviderBridge+" -- set Bridge "+ProviderBridge+" datapath_type=netdev",
		"ip link set "+ProviderBridge+" up")
}

// replugExternal puts back what the bridge lost when ovs-vswitchd ended.
func (h *Host) replugExternal(ctx context.Context) error {
	if err := h.makeBridge(ctx); err != nil {
		return err
	}
	if h.Role == RoleNetwork && h.lab.CurrentUplink() == UplinkNAT {
		return h.steps(ctx, "ip address replace "+OutsideGateway+"/28 dev "+ProviderBridge)
	}
	return nil
}

// operatorNAT are the operator's own commands for [UplinkNAT], word for word
// the seed's.
var operatorNAT = [...]string{
	"ip addr add 172.24.4.225/28 dev br-ex",
	"iptables -A FORWARD -d 172.24.4.224/28 -j ACCEPT",
	"iptables -A FORWARD -s 172.24.4.224/28 -j ACCEPT",
	"iptables -t nat -I POSTROUTING 1 -s 172.24.4.224/28 -j MASQUERADE",
}

// uplinkNAT makes the host the public network's gateway: it translates to its
// own address on a NIC that is not on the bridge.
func (h *Host) uplinkNAT(ctx context.Context) error {
	transit, err := netip.ParsePrefix(outsideTransit)
	if err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	if err := h.steps(ctx, operatorNAT[:]...); err != nil {
		return err
	}
	return h.steps(ctx,
		"sysctl -q -w net.ipv4.ip_forward=1",
		fmt.Sprintf("ip address replace %s/%d dev %s", hostTransit, transit.Bits(), externalNIC),
		"ip link set "+externalNIC+" up",
		"ip route replace default via "+transit.Addr().String()+" dev "+externalNIC,
		"busybox arping -q -U -c 1 -I "+ProviderBridge+" "+OutsideGateway)
}

// leaveNAT takes back what uplinkNAT did.
func (h *Host) leaveNAT(ctx context.Context) error {
	return h.steps(ctx,
		"iptables -t nat -D POSTROUTING -s "+ExternalCIDR+" -j MASQUERADE",
		"iptables -D FORWARD -s "+ExternalCIDR+" -j ACCEPT",
		"iptables -D FORWARD -d "+ExternalCIDR+" -j ACCEPT",
		"ip addr del 172.24.4.225/28 dev "+ProviderBridge,
		"sysctl -q -w net.ipv4.ip_forward=0",
		"ip address flush dev "+externalNIC)
}

// openOutside makes the outside the other end of an uplink: the gateway
// itself, or a host that knows the way to it.
func (l *Lab) openOutside(ctx context.Context, u Uplink) error {
	h, err := l.Host(outsideHost)
	if err != nil {
		return err
	}
	if u == UplinkNAT {
		return h.steps(ctx, "ip route replace "+ExternalCIDR+" via "+hostTransit+" dev "+uplinkName)
	}
	return h.steps(ctx,
		"ip address replace "+OutsideGateway+"/28 dev "+uplinkName,
		"busybox arping -q -U -c 1 -I "+uplinkName+" "+OutsideGateway)
}

// CurrentUplink is how the network host reaches the outside now.
func (l *Lab) CurrentUplink() Uplink { return l.snapshot().Settings.Uplink }

// SetUplink changes, on the running lab, how the host of the seed's router
// reaches the outside, with the commands that an operator types.
func (l *Lab) SetUplink(ctx context.Context, u Uplink) error {
	if l.CurrentUplink() == u {
		return nil
	}
	routers, err := l.Client().List(ctx, "routers", Query{"name": SeedRouter})
	if err != nil || len(routers) != 1 {
		return fmt.Errorf("lab: %d routers are called %s, want one (%v)", len(routers), SeedRouter, err)
	}
	h, err := l.RouterHost(ctx, routers[0].ID())
	if err != nil {
		return err
	}
	outside, err := l.Host(outsideHost)
	if err != nil {
		return err
	}
	if u == UplinkNAT {
		err = h.steps(ctx, "ovs-vsctl --timeout=10 del-port "+ProviderBridge+" "+externalNIC)
		if err == nil {
			err = outside.steps(ctx, "ip address del "+OutsideGateway+"/28 dev "+uplinkName)
		}
		if err == nil {
			err = h.uplinkNAT(ctx)
		}
	} else if err = h.leaveNAT(ctx); err == nil {
		err = outside.steps(ctx, "ip route del "+ExternalCIDR+" via "+hostTransit)
		if err == nil {
			err = h.steps(ctx, "ovs-vsctl --timeout=10 add-port "+ProviderBridge+" "+externalNIC)
		}
	}
	if err == nil {
		err = l.openOutside(ctx, u)
	}
	if err != nil {
		return fmt.Errorf("lab: uplink %s: %w", u, err)
	}
	return l.record(ctx, func(st *state) { st.Settings.Uplink = u })
}

// Provide gives a compute host a NIC on the public network, the provider
// bridge and its mapping, as --provider does for all of them, and starts its
// agent again. A host that has them is left as it is.
func (l *Lab) Provide(ctx context.Context, host string) error {
	h, err := l.Host(host)
	if err != nil || h.hasBridge() {
		return err
	}
	if err := h.plugExternal(ctx); err != nil {
		return err
	}
	if err := l.record(ctx, func(st *state) { st.host(host).Provider = true }); err != nil {
		return err
	}
	return h.reconfigure(ctx)
}

// Withdraw takes away what [Lab.Provide] gave.
func (l *Lab) Withdraw(ctx context.Context, host string) error {
	h, err := l.Host(host)
	if err != nil || !h.Provider {
		return err
	}
	if err := l.record(ctx, func(st *state) { st.host(host).Provider = false }); err != nil {
		return err
	}
	if err := h.reconfigure(ctx); err != nil {
		return err
	}
	return h.steps(ctx, "ovs-vsctl --timeout=10 --if-exists del-br "+ProviderBridge, "ip link delete "+externalNIC)
}

// reconfigure writes the agent's configuration again and starts it with it.
func (h *Host) reconfigure(ctx context.Context) error {
	h, err := h.lab.Host(h.Name) // as it is recorded now
	if err != nil {
		return err
	}
	if _, err := h.write(ctx, configFile, h.agentConfig()); err != nil {
		return err
	}
	if err := h.Restart(ctx, processAgent); err != nil {
		return err
	}
	if err := h.awaitAgent(ctx); err != nil {
		return err
	}
	return h.fail(ctx, processAgent, h.awaitMapping(ctx))
}

// awaitMapping waits until the server knows whether the host has the provider
// bridge: until then it binds no port there, or one that has no way. The agent
// counts as alive by what it said before it was started again.
func (h *Host) awaitMapping(ctx context.Context) error {
	wait, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	return poll(wait, 20*time.Millisecond, func() error {
		agents, err := h.lab.Client().List(wait, "agents", Query{"host": h.Name, "agent_type": neutrino.AgentOVS})
		if err != nil || len(agents) != 1 {
			return fmt.Errorf("lab: %s: %d agents (%v)", h.Name, len(agents), err)
		}
		configurations, _ := agents[0]["configurations"].(map[string]any)
		mappings, _ := configurations["bridge_mappings"].(map[string]any)
		if _, mapped := mappings[PhysicalNetwork]; mapped != h.hasBridge() {
			return fmt.Errorf("lab: %s: the server has bridge_mappings %v", h.Name, mappings)
		}
		return nil
	})
}
