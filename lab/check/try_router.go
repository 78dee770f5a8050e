package check

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"neutrino/lab"
)

// segment is a network of its own with one subnet, as a row asks for it.
type segment struct {
	name, project string
	kind          string // provider:network_type; the lab's own if empty
	key           int    // provider:segmentation_id
	cidr          string
	pool          [2]string // first and last address; the API's choice if empty
	gateway       string    // the first address if empty
}

// make makes the network and the subnet; tidy deletes them.
func (c *Cloud) make(ctx context.Context, s segment) (network, subnet string, err error) {
	api := c.lab.Client()
	api.Project = s.project
	if s.kind == "" {
		s.kind = c.vars["type"]
	}
	body := lab.Object{"name": s.name, "provider:network_type": s.kind, "provider:segmentation_id": s.key}
	if s.kind == "vlan" {
		body["provider:physical_network"] = lab.PhysicalNetwork
	}
	n, err := api.Create(ctx, "networks", body)
	if err != nil {
		return "", "", err
	}
	c.objects = append(c.objects, made{"networks", n.ID()})
	body = lab.Object{"network_id": n.ID(), "ip_version": 4, "cidr": s.cidr}
	if s.pool[0] != "" {
		body["allocation_pools"] = []lab.Object{{"start": s.pool[0], "end": s.pool[1]}}
	}
	if s.gateway != "" {
		body["gateway_ip"] = s.gateway
	}
	sub, err := api.Create(ctx, "subnets", body)
	return n.ID(), sub.ID(), err
}

// second is a light instance in another subnet of the router, without a
// floating IP, that serves its name on port 80 and an echo on port 22. It
// stays until tidy.
func (c *Cloud) second(ctx context.Context) (*lab.Guest, error) {
	if c.other == nil && c.otherErr == nil {
		c.other, c.otherErr = c.newSecond(ctx)
	}
	return c.other, c.otherErr
}

func (c *Cloud) newSecond(ctx context.Context) (*lab.Guest, error) {
	network, subnet, err := c.make(ctx, segment{name: "check-second", key: 7010, cidr: "10.3.0.0/24"})
	if err != nil {
		return nil, err
	}
	if err := c.lab.AddInterface(ctx, c.vars["rtr"], subnet); err != nil {
		return nil, err
	}
	c.later(func(ctx context.Context) error { return c.lab.RemoveInterface(ctx, c.vars["rtr"], subnet) })
	g, _, err := c.instance(ctx, lab.InstanceSpec{Name: "second", Host: c.compute.Name, Network: network})
	if err != nil {
		return nil, err
	}
	return g, c.serve(ctx, g)
}

// serve lets a light instance serve what the VM serves.
func (c *Cloud) serve(ctx context.Context, g *lab.Guest) error {
	page := "/run/www-" + g.Name
	if _, err := c.inside(ctx, g, fmt.Sprintf("ip link set lo up; mkdir -p %[1]s; echo %[2]s >%[1]s/index.html", page, g.Name)); err != nil {
		return err
	}
	// Not CommandContext's: they serve longer than the row.
	for _, argv := range [][]string{
		{"busybox", "httpd", "-f", "-p", "80", "-h", page}, {"busybox", "nc", "-ll", "-p", "22", "-e", "cat"},
	} {
		cmd := g.Command(context.WithoutCancel(ctx), argv...)
		if err := cmd.Start(); err != nil {
			return fmt.Errorf("%s: %w", g.Name, err)
		}
		c.later(func(context.Context) error {
			_ = cmd.Process.Kill() // it may have ended
			_ = cmd.Wait()
			return nil
		})
	}
	return until(ctx, patience, func(ctx context.Context) error {
		page, err := c.inside(ctx, g, lab.Fetch("http://"+g.Address))
		return errors.Join(err, same("page", page, g.Name))
	})
}

// same wants a text to be what it should be.
func same(what, got, want string) error {
	if got != want {
		return fmt.Errorf("%s is %q, want %q", what, got, want)
	}
	return nil
}

func gatewayReached(ctx context.Context, c *Cloud) (string, error) {
	if err := c.inGuest(ctx, "ping -c 1 -W 2 $rip"); err != nil {
		return "", err
	}
	return c.expect(ctx, "compute", "ovs-ofctl --names dump-flows br-tun table=20,dl_dst=$rmac",
		like(`dl_vlan=$lv,dl_dst=$rmac actions=strip_vlan,.*$key.*,output:"?$torouter`))
}

func eastWest(ctx context.Context, c *Cloud) (string, error) {
	g, err := c.second(ctx)
	if err != nil {
		return "", err
	}
	err = until(ctx, patience, func(ctx context.Context) error { return c.inGuest(ctx, "ping -c 1 -W 1 "+g.Address) })
	return c.expand("$ip → ") + g.Address + " answered", err
}

// eastWestKeepsSource looks at the source that arrives in another subnet.
func eastWestKeepsSource(ctx context.Context, c *Cloud) (string, error) {
	if err := c.hasRules(ctx, "-A $L-POSTROUTING ! -o qg-$g11 -m conntrack ! --ctstate DNAT -j ACCEPT"); err != nil {
		return "", err
	}
	g, err := c.second(ctx)
	if err != nil {
		return "", err
	}
	seen, err := c.seenOn(ctx, point{"compute", g.Tap(), "icmp[icmptype] = 8"}, func(ctx context.Context) error {
		return c.inGuest(ctx, "ping -c 1 -W 2 "+g.Address)
	})
	if err == nil {
		err = has("$ip > "+g.Address)(c, strings.Join(seen, "\n"))
	}
	return brief(strings.Join(seen, " ")), err
}

// hasRules waits until the router's nat table has all of the rules.
func (c *Cloud) hasRules(ctx context.Context, rules ...string) error {
	_, err := c.expect(ctx, "router", "$Q iptables -t nat -S", has(rules...))
	return err
}

func routerLinkLocals(ctx context.Context, c *Cloud) (string, error) {
	var seen []string
	for device, mac := range map[string]string{"qg-$g11": "gmac", "qr-$r11": "rmac"} {
		want, err := linkLocalOf(c.vars[mac])
		if err != nil {
			return "", err
		}
		out, err := c.expect(ctx, "router", "$Q ip -6 -o addr show dev "+device+" scope link", has(want+"/64"))
		if err != nil {
			return out, err
		}
		seen = append(seen, want)
	}
	return strings.Join(seen, ", "), nil
}

func routerMAC(ctx context.Context, c *Cloud) (string, error) {
	own, err := c.sh(ctx, "router", "$Q cat /sys/class/net/qr-$r11/address")
	if err == nil {
		err = is("$rmac")(c, own)
	}
	if err != nil {
		return own, err
	}
	out, err := c.sh(ctx, "guest", "ping -c 1 -W 2 $rip >/dev/null; arp -n $rip")
	if err == nil {
		err = has("$rmac")(c, out)
	}
	return own + "; in the VM: " + brief(out), err
}

// defaultRoute moves the public subnet's gateway for a moment.
func defaultRoute(ctx context.Context, c *Cloud) (seen string, err error) {
	const moved = "172.24.4.226"
	if seen, err = c.sh(ctx, "router", "$Q ip route show default"); err == nil {
		err = has("default via $xgw dev qg-$g11 proto static")(c, seen)
	}
	if err != nil {
		return seen, err
	}
	subnet, err := c.one(ctx, "subnets", lab.Query{"network_id": c.vars["pub"]})
	if err != nil {
		return seen, err
	}
	set := func(ctx context.Context, gateway string) error {
		if _, err := c.lab.Client().Update(ctx, "subnets/"+subnet.ID(), lab.Object{"gateway_ip": gateway}); err != nil {
			return err
		}
		_, err := c.expect(ctx, "router", "$Q ip route show default", has("via "+gateway+" "))
		return err
	}
	err = set(ctx, moved)
	return brief(seen) + "; moved to " + moved + " and back", errors.Join(err, set(context.WithoutCancel(ctx), c.vars["xgw"]))
}

// gatewaySetAndUnset gives a router of its own a gateway and takes it away.
func gatewaySetAndUnset(ctx context.Context, c *Cloud) (string, error) {
	api := c.lab.Client()
	router, err := api.Create(ctx, "routers", lab.Object{"name": "check-gateway"})
	if err != nil {
		return "", err
	}
	c.objects = append(c.objects, made{"routers", router.ID()})
	set := func(gateway any) error {
		_, err := api.Update(ctx, "routers/"+router.ID(), lab.Object{"external_gateway_info": gateway})
		return err
	}
	if err := set(lab.Object{"network_id": c.vars["pub"]}); err != nil {
		return "", err
	}
	h, err := c.lab.RouterHost(ctx, router.ID())
	if err != nil {
		return "", err
	}
	look := func(want func(*Cloud, string) error) (string, error) {
		var out string
		err := until(ctx, patience, func(ctx context.Context) (err error) {
			out, err = h.Run(ctx, "sh", "-c", "n=qrouter-"+router.ID()+"; ip netns exec $n ip -4 -br addr; ip netns exec $n iptables -t nat -S; ovs-vsctl list-ports br-ex")
			return errors.Join(err, want(c, out))
		})
		return out, err
	}
	with, err := look(has("qg-", "-o qg-"))
	if err != nil {
		return brief(with), err
	}
	device := with[strings.Index(with, "qg-"):][:len("qg-")+11]
	if err := set(nil); err != nil {
		return "", err
	}
	// A router without gateway and interfaces is on no host any more, or is there without it.
	err = until(ctx, patience, func(ctx context.Context) error {
		out, err := h.Run(ctx, "sh", "-c", "ip netns exec qrouter-"+router.ID()+" ip -br link 2>/dev/null; ovs-vsctl list-ports br-ex")
		return errors.Join(err, without(device, "tap"+device[len("qg-"):])(c, out))
	})
	return device + " with its rules, then gone with its port on br-ex", errors.Join(err, c.drop(ctx, "routers", router.ID()))
}

// drop deletes an object of the row's before the end.
func (c *Cloud) drop(ctx context.Context, collection, id string) error {
	for i, o := range c.objects {
		if o.id == id {
			c.objects = append(c.objects[:i], c.objects[i+1:]...)
			break
		}
	}
	return c.lab.Client().Delete(ctx, collection, id)
}

// metadata reads, in the VM, what it is told about itself.
func metadata(ctx context.Context, c *Cloud) (string, error) {
	if err := c.hasRules(ctx, "-A $L-PREROUTING -d 169.254.169.254/32 -i qr-+ -p tcp -m tcp --dport 80 -j REDIRECT --to-ports 9697"); err != nil {
		return "", err
	}
	out, err := c.sh(ctx, "guest", lab.Fetch(lab.MetadataURL))
	if err == nil {
		err = has(`"uuid"`, "$uuid")(c, out)
	}
	return brief(out), err
}
