package check

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"neutrino/lab"
)

// twice wants two equal lines.
func twice(_ *Cloud, out string) error {
	f := strings.Fields(out)
	if len(f) != 2 || f[0] != f[1] {
		return fmt.Errorf("want two equal numbers")
	}
	return nil
}

// discover lets the VM ask for its lease once more.
func (c *Cloud) discover(ctx context.Context) error {
	return c.inGuest(ctx, "udhcpc -f -n -q -t 5 -T 1 -i eth0 -s /bin/true")
}

func discoverReachesServer(ctx context.Context, c *Cloud) (string, error) {
	seen, err := c.seenOn(ctx, point{"network", "tap$d11", "udp dst port 67 and ether src $mac"}, c.discover)
	if err == nil && len(seen) == 0 {
		err = errors.New("no DHCPDISCOVER arrived")
	}
	return brief(strings.Join(seen, " ")), err
}

func answerHasKey(ctx context.Context, c *Cloud) (string, error) {
	seen, err := c.seenOn(ctx, point{"network", "eth0", c.encapsulated() + " and src host $nlocal"}, c.discover)
	if err == nil {
		err = c.keyed(seen)
	}
	return brief(strings.Join(seen, " ")), err
}

func guestReachesServer(ctx context.Context, c *Cloud) (string, error) {
	if err := c.guestPings(ctx); err != nil {
		return "", err
	}
	if err := c.inGuest(ctx, "ping -c 1 -W 2 $rip"); err != nil {
		return "", fmt.Errorf("gateway: %w", err)
	}
	out, err := c.expect(ctx, "network", "ovs-appctl fdb/show br-int", like(`\s$nlv\s+$mac`))
	return "$dip and $rip reply; " + out, err
}

func linkLocal(ctx context.Context, c *Cloud) (string, error) {
	want, err := linkLocalOf(c.vars["dmac"])
	if err != nil {
		return "", err
	}
	return c.expect(ctx, "network", "ip netns exec $ns ip -6 -o addr show dev ns-$d11 scope link", has(want+"/64"))
}

func nameResolves(ctx context.Context, c *Cloud) (string, error) {
	out, err := c.sh(ctx, "guest", "nslookup -type=a host-10-1-0-2.openstacklocal $dip")
	if err == nil {
		err = has("$ip")(c, out)
	}
	return brief(out), err
}

// refusesForeignSubnet asks the server's DNS from an address that is in none
// of its subnets.
func refusesForeignSubnet(ctx context.Context, c *Cloud) (string, error) {
	ask := "nslookup -type=a host-10-1-0-2.openstacklocal"
	out, err := c.sh(ctx, "network", "ip netns exec $ns busybox "+ask+" $dip")
	if err != nil {
		return out, fmt.Errorf("from its own subnet: %w", err)
	}
	// A veth pair into the namespace with an address that is no subnet of it:
	// the question arrives over a routed path.
	setup := "ip netns add foreign && ip -n foreign link add f0 type veth peer name f1 netns $ns && " +
		"ip -n foreign addr add 198.51.100.2/32 dev f0 && ip -n foreign link set f0 up && ip -n foreign route add $dip/32 dev f0 && " +
		"ip -n $ns link set f1 up && ip -n $ns route add 198.51.100.2/32 dev f1 proto boot"
	clean := "ip netns del foreign 2>/dev/null; ip -n $ns link del f1 2>/dev/null; true"
	if out, err := c.sh(ctx, "network", setup); err != nil {
		_, e := c.sh(ctx, "network", clean)
		return out, errors.Join(err, e)
	}
	out, err = c.sh(ctx, "network", "ip netns exec foreign timeout 3 busybox "+ask+" $dip 2>&1")
	_, e := c.sh(context.WithoutCancel(ctx), "network", clean)
	if err == nil {
		return brief(out), errors.Join(errors.New("a foreign subnet was answered"), e)
	}
	return "own subnet answered, 198.51.100.2 not", e
}

func (c *Cloud) lease(ctx context.Context) (lab.Lease, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return c.guest.AwaitLease(ctx)
}

func leaseOptions(ctx context.Context, c *Cloud) (string, error) {
	l, err := c.lease(ctx)
	if err != nil {
		return "", err
	}
	seen := fmt.Sprintf("router %s, mtu %d, dns %s, routes %q", l.Router, l.MTU, l.DNS, l.Routes)
	if l.Router != lab.SeedGateway || fmt.Sprint(l.MTU) != c.vars["mtu"] || l.DNS != c.vars["dip"] {
		return seen, fmt.Errorf("want router %s, mtu %s, dns %s", lab.SeedGateway, c.vars["mtu"], c.vars["dip"])
	}
	return seen, nil
}

func leaseTime(ctx context.Context, c *Cloud) (string, error) {
	l, err := c.lease(ctx)
	if err == nil && l.Seconds != 86400 {
		err = errors.New("want 86400 s")
	}
	return fmt.Sprintf("%d s", l.Seconds), err
}

func domain(ctx context.Context, c *Cloud) (string, error) {
	l, err := c.lease(ctx)
	if err != nil {
		return "", err
	}
	if l.Domain != "openstacklocal" {
		return l.Domain, errors.New("want openstacklocal")
	}
	out, err := c.sh(ctx, "guest", "nslookup -type=a host-10-1-0-2.openstacklocal $dip")
	if err == nil {
		err = has("$ip")(c, out)
	}
	return l.Domain + "; " + brief(out), err
}

func exchangeIsFast(ctx context.Context, c *Cloud) (string, error) {
	begin := time.Now()
	err := c.discover(ctx)
	took := time.Since(begin)
	if err == nil && took > 3*time.Second {
		err = errors.New("too slow")
	}
	return took.Round(time.Millisecond).String(), err
}

// unknownMACGetsNothing asks from inside the network with a MAC that no port has.
func unknownMACGetsNothing(ctx context.Context, c *Cloud) (string, error) {
	setup := "ip netns add stranger && ip link add st0 type veth peer name eth0 netns stranger && ip link set st0 up && " +
		"ip -n stranger link set eth0 address fa:16:3e:77:77:77 up && ovs-vsctl add-port br-int st0 tag=$nlv"
	clean := "ovs-vsctl --if-exists del-port br-int st0; ip netns del stranger 2>/dev/null; ip link del st0 2>/dev/null; true"
	if out, err := c.sh(ctx, "network", setup); err != nil {
		_, e := c.sh(ctx, "network", clean)
		return out, errors.Join(err, e)
	}
	out, err := c.sh(ctx, "network", "ip netns exec stranger busybox udhcpc -f -n -q -t 3 -T 1 -i eth0 -s /bin/true 2>&1 | tail -1")
	_, e := c.sh(context.WithoutCancel(ctx), "network", clean)
	if err == nil && strings.Contains(out, "obtained") {
		err = errors.New("a stranger got a lease")
	}
	return brief(out), errors.Join(err, e)
}

func newPortWithoutRestart(ctx context.Context, c *Cloud) (string, error) {
	before, err := c.sh(ctx, "network", "cat $dir/pid")
	if err != nil {
		return "", err
	}
	port, err := c.lab.Client().Create(ctx, "ports", lab.Object{"network_id": c.guest.NetworkID, "name": "check-new"})
	if err != nil {
		return "", err
	}
	c.objects = append(c.objects, made{"ports", port.ID()})
	if _, err := c.expect(ctx, "network", "cat $dir/host", has(port.Text("mac_address"))); err != nil {
		return "", err
	}
	_, err = c.expect(ctx, "network", "cat $dir/pid", is(before))
	return fmt.Sprintf("%s is there, pid %s as before", port.Text("mac_address"), before), err
}

// dhcpOffAndOn turns DHCP off on another network and on again: process and
// namespace follow.
func dhcpOffAndOn(ctx context.Context, c *Cloud) (string, error) {
	network, err := c.privateNetwork(ctx, "check-dhcp", "check", 7003)
	if err != nil {
		return "", err
	}
	subnets, err := c.lab.Client().List(ctx, "subnets", lab.Query{"network_id": network})
	if err != nil || len(subnets) != 1 {
		return "", errors.Join(fmt.Errorf("%d subnets", len(subnets)), err)
	}
	look := strings.ReplaceAll("ip netns list | grep -c NS; ip netns pids NS 2>/dev/null | xargs -r ps -o comm= -p | grep -c dnsmasq; true", "NS", "qdhcp-"+network)
	for _, step := range []struct {
		name string
		on   any // nil for as it is
		want string
	}{{"at first", nil, "1 1"}, {"off", false, "0 0"}, {"on again", true, "1 1"}} {
		if step.on != nil {
			if _, err := c.lab.Client().Update(ctx, "subnets/"+subnets[0].ID(), lab.Object{"enable_dhcp": step.on}); err != nil {
				return "", err
			}
		}
		err := until(ctx, patience, func(ctx context.Context) error { return c.onAllNetworkHosts(ctx, look, step.want) })
		if err != nil {
			return "", fmt.Errorf("%s: %w", step.name, err)
		}
	}
	return "namespace and dnsmasq: there, gone, there", c.dropNetwork(ctx, network)
}

// onAllNetworkHosts adds up the numbers that a command prints on each.
func (c *Cloud) onAllNetworkHosts(ctx context.Context, command, want string) error {
	var sums []int
	for _, h := range c.lab.Hosts() {
		if h.Role != lab.RoleNetwork {
			continue
		}
		out, err := h.Run(ctx, "sh", "-c", command)
		if err != nil {
			return err
		}
		for i, word := range strings.Fields(out) {
			n, err := strconv.Atoi(word)
			if err != nil {
				return err
			}
			if i == len(sums) {
				sums = append(sums, 0)
			}
			sums[i] += n
		}
	}
	return same("the count of namespaces and processes", strings.Trim(fmt.Sprint(sums), "[]"), want)
}
