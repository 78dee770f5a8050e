package check

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"neutrino/lab"
)

// floating gives a port a floating IP; tidy deletes it.
func (c *Cloud) floating(ctx context.Context, port any) (lab.Object, error) {
	f, err := c.lab.Client().Create(ctx, "floatingips", lab.Object{"floating_network_id": c.vars["pub"], "port_id": port})
	if err == nil {
		c.objects = append(c.objects, made{"floatingips", f.ID()})
	}
	return f, err
}

// associate gives a floating IP to a port, or to nobody.
func (c *Cloud) associate(ctx context.Context, id string, port any) error {
	_, err := c.lab.Client().Update(ctx, "floatingips/"+id, lab.Object{"port_id": port})
	return err
}

// triple are the rules of one floating IP.
func triple(floating, fixed string) []string {
	return []string{
		"-A $L-OUTPUT -d " + floating + "/32 -j DNAT --to-destination " + fixed,
		"-A $L-PREROUTING -d " + floating + "/32 -j DNAT --to-destination " + fixed,
		"-A $L-float-snat -s " + fixed + "/32 -j SNAT --to-source " + floating,
	}
}

// pageFrom is what a web server says to the outside.
func (c *Cloud) pageFrom(ctx context.Context, address, want string) error {
	return until(ctx, patience, func(ctx context.Context) error {
		page, err := c.sh(ctx, "outside", lab.Fetch("http://"+address))
		return errors.Join(err, same("the page at "+address, page, want))
	})
}

// source is what the outside sees an instance as.
func (c *Cloud) source(ctx context.Context, g *lab.Guest, want string) (string, error) {
	var seen string
	err := until(ctx, patience, func(ctx context.Context) (err error) {
		seen, err = c.inside(ctx, g, lab.Fetch("http://"+lab.OutsideFar+lab.SourcePage))
		return errors.Join(err, same("the source", seen, c.expand(want)))
	})
	return fmt.Sprintf("%s saw %s as %s", lab.OutsideFar, g.Address, seen), err
}

func floatingAddress(ctx context.Context, c *Cloud) (string, error) {
	port, err := c.lab.Client().Create(ctx, "ports", lab.Object{"network_id": c.guest.NetworkID, "name": "check-floating"})
	if err != nil {
		return "", err
	}
	c.objects = append(c.objects, made{"ports", port.ID()})
	f, err := c.floating(ctx, port.ID())
	if err != nil {
		return "", err
	}
	address := "inet " + f.Text("floating_ip_address") + "/32"
	look := "$Q ip -4 addr show qg-$g11"
	if _, err := c.expect(ctx, "router", look, has("inet $fip/32", address)); err != nil {
		return "", err
	}
	if err := c.associate(ctx, f.ID(), nil); err != nil {
		return "", err
	}
	_, err = c.expect(ctx, "router", look, all(has("inet $fip/32"), without(address)))
	return c.expand("inet $fip/32; ") + address + " associated, then gone",
		errors.Join(err, c.drop(ctx, "floatingips", f.ID()), c.drop(ctx, "ports", port.ID()))
}

func fromTheRouterItself(ctx context.Context, c *Cloud) (string, error) {
	if err := c.hasRules(ctx, triple("$fip", "$ip")[0]); err != nil {
		return "", err
	}
	out, err := c.sh(ctx, "router", "echo hello | $Q busybox nc -w 2 $fip 22")
	return c.expand("$fip:22 echoes ") + out, errors.Join(err, same("the echo", out, "hello"))
}

func inwards(ctx context.Context, c *Cloud) (string, error) {
	if err := errors.Join(c.uplink(ctx, lab.UplinkNIC), c.hasRules(ctx, triple("$fip", "$ip")[1])); err != nil {
		return "", err
	}
	if err := c.pageFrom(ctx, c.vars["fip"], c.guest.Name); err != nil {
		return "", err
	}
	out, err := c.sh(ctx, "outside", "echo hello | busybox nc -w 2 $fip 22")
	return c.expand("$fip:80 says ") + c.guest.Name + ", :22 echoes " + out, errors.Join(err, same("the echo", out, "hello"))
}

func outwardsFloating(ctx context.Context, c *Cloud) (string, error) {
	if err := errors.Join(c.uplink(ctx, lab.UplinkNIC), c.hasRules(ctx, triple("$fip", "$ip")[2])); err != nil {
		return "", err
	}
	return c.source(ctx, c.guest, "$fip")
}

func outwardsGateway(ctx context.Context, c *Cloud) (string, error) {
	if err := errors.Join(c.uplink(ctx, lab.UplinkNIC), c.hasRules(ctx, "-A $L-snat -o qg-$g11 -j SNAT --to-source $gip")); err != nil {
		return "", err
	}
	g, err := c.second(ctx)
	if err != nil {
		return "", err
	}
	return c.source(ctx, g, "$gip")
}

// withSecondFloating gives the second instance a floating IP for a while.
func (c *Cloud) withSecondFloating(ctx context.Context, action func(g *lab.Guest, f lab.Object, address string) error) error {
	if err := c.uplink(ctx, lab.UplinkNIC); err != nil {
		return err
	}
	g, err := c.second(ctx)
	if err != nil {
		return err
	}
	f, err := c.floating(ctx, nil)
	if err != nil {
		return err
	}
	err = action(g, f, f.Text("floating_ip_address"))
	return errors.Join(err, c.drop(context.WithoutCancel(ctx), "floatingips", f.ID()))
}

func twoFloatingIPs(ctx context.Context, c *Cloud) (seen string, err error) {
	err = c.withSecondFloating(ctx, func(g *lab.Guest, f lab.Object, address string) error {
		if err := c.associate(ctx, f.ID(), g.PortID); err != nil {
			return err
		}
		if err := c.hasRules(ctx, append(triple("$fip", "$ip"), triple(address, g.Address)...)...); err != nil {
			return err
		}
		seen = fmt.Sprintf("%s is %s, %s is %s, each outwards too", c.vars["fip"], c.guest.Name, address, g.Name)
		_, first := c.source(ctx, c.guest, "$fip")
		_, second := c.source(ctx, g, address)
		return errors.Join(c.pageFrom(ctx, c.vars["fip"], c.guest.Name), c.pageFrom(ctx, address, g.Name), first, second)
	})
	return seen, err
}

// associateByClient associates with the openstack client while a connection
// over the VM's floating IP sends a line each 100 ms.
func associateByClient(ctx context.Context, c *Cloud) (seen string, err error) {
	err = c.withSecondFloating(ctx, func(g *lab.Guest, f lab.Object, address string) error {
		s, err := c.streamFrom(ctx, "outside", "busybox nc $fip 22")
		if err != nil {
			return err
		}
		defer s.stop()
		if _, err := c.openstack(ctx, "floating", "ip", "set", "--port", g.PortID, f.ID()); err != nil {
			return err
		}
		begin := time.Now()
		if err := c.hasRules(ctx, triple(address, g.Address)...); err != nil {
			return err
		}
		if _, err := c.expect(ctx, "router", "$Q ip -4 addr show qg-$g11", has("inet "+address+"/32")); err != nil {
			return err
		}
		took := time.Since(begin)
		if err := c.pageFrom(ctx, address, g.Name); err != nil {
			return err
		}
		before, _ := s.seen()
		seen = fmt.Sprintf("3 rules and %s/32 at most %v after the client ended; longest silence of the other connection %v",
			address, took.Round(time.Millisecond), s.longest().Round(time.Millisecond))
		return until(ctx, patience, func(context.Context) error {
			if now, _ := s.seen(); now <= before || s.longest() > time.Second {
				return errors.New("the connection over the other floating IP stopped")
			}
			return nil
		})
	})
	return seen, err
}

// snatOff turns source NAT off and on again.
func snatOff(ctx context.Context, c *Cloud) (string, error) {
	if err := c.uplink(ctx, lab.UplinkNIC); err != nil {
		return "", err
	}
	g, err := c.second(ctx)
	if err != nil {
		return "", err
	}
	set := func(ctx context.Context, on bool) error {
		_, err := c.lab.Client().Update(ctx, "routers/"+c.vars["rtr"],
			lab.Object{"external_gateway_info": lab.Object{"network_id": c.vars["pub"], "enable_snat": on}})
		return err
	}
	if err := set(ctx, false); err != nil {
		return "", err
	}
	_, err = c.expect(ctx, "router", "$Q iptables -t nat -S", without("-A $L-snat -o qg-$g11 -j SNAT"))
	if err == nil {
		if page, e := c.inside(ctx, g, lab.Fetch("http://"+lab.OutsideFar)); e == nil && page != "" {
			err = errors.New("without source NAT an instance without a floating IP still reaches the outside")
		}
	}
	if err == nil {
		_, err = c.source(ctx, c.guest, "$fip")
	}
	if err := errors.Join(err, set(context.WithoutCancel(ctx), true)); err != nil {
		return "", err
	}
	_, err = c.source(ctx, g, "$gip")
	return "off: " + g.Address + " stays inside, the VM is $fip outside; on: out again", err
}

// disassociate looks for what a floating IP leaves behind.
func disassociate(ctx context.Context, c *Cloud) (seen string, err error) {
	err = c.withSecondFloating(ctx, func(g *lab.Guest, f lab.Object, address string) error {
		if err := c.associate(ctx, f.ID(), g.PortID); err != nil {
			return err
		}
		if err := c.pageFrom(ctx, address, g.Name); err != nil {
			return err
		}
		look := strings.ReplaceAll("$Q iptables -t nat -S | grep -cF ADDRESS; $Q ip -4 addr | grep -cF ADDRESS; "+
			"$Q conntrack -L 2>/dev/null | grep -cF ADDRESS; true", "ADDRESS", address)
		during, err := c.sh(ctx, "router", look)
		if err != nil {
			return err
		}
		if n := strings.Fields(during); len(n) != 3 || n[0] != "3" || n[1] != "1" || n[2] == "0" {
			return fmt.Errorf("rules, addresses and conntrack entries while associated: %q", n)
		}
		if err := c.associate(ctx, f.ID(), nil); err != nil {
			return err
		}
		_, err = c.expect(ctx, "router", look, set("0", "0", "0"))
		seen = fmt.Sprintf("rules, addresses, conntrack entries: %s, then 0 0 0", strings.Join(strings.Fields(during), " "))
		return err
	})
	return seen, err
}
