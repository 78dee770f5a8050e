package check

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"neutrino"
	"neutrino/lab"
)

// Cloud is the lab as the rows name its parts.
type Cloud struct {
	lab                               *lab.Lab
	compute, network, router, outside *lab.Host
	guest                             *lab.Guest
	other                             *lab.Guest // behind another subnet of the router; see second
	otherErr                          error      // why there is none
	vars                              map[string]string
	made                              []string                      // instances made here, by name
	undo                              []func(context.Context) error // what tidy does after that
	objects                           []made                        // API objects made here
}

// made is an API object that tidy deletes.
type made struct{ collection, id string }

// survey finds the seed's objects through the API and names them.
func survey(ctx context.Context, l *lab.Lab) (*Cloud, error) {
	c := &Cloud{lab: l, vars: map[string]string{"X": "neutron-openvswi", "L": "neutron-l3-agent"}}
	guest, err := l.Guest(lab.SeedVM)
	if err != nil {
		return nil, fmt.Errorf("check: %w (is the lab up?)", err)
	}
	c.guest = guest
	if c.compute, err = l.Host(guest.Host); err != nil {
		return nil, err
	}
	if c.outside, err = l.Host(lab.RoleOutside); err != nil {
		return nil, fmt.Errorf("check: %w (the rows need a lab that is not --bare)", err)
	}
	if err := c.nameNetwork(ctx); err != nil {
		return nil, fmt.Errorf("check: %w", err)
	}
	if err := c.nameRouter(ctx); err != nil {
		return nil, fmt.Errorf("check: %w", err)
	}
	return c, c.nameVLANs(ctx)
}

// one is the only object that the filters name.
func (c *Cloud) one(ctx context.Context, collection string, q lab.Query) (lab.Object, error) {
	found, err := c.lab.Client().List(ctx, collection, q)
	if err != nil {
		return nil, err
	}
	if len(found) != 1 {
		return nil, fmt.Errorf("%d %s with %v, want 1", len(found), collection, q)
	}
	return found[0], nil
}

// nameNetwork fills in the variables of the VM, its network and its DHCP server.
func (c *Cloud) nameNetwork(ctx context.Context) error {
	network, err := c.lab.Client().Get(ctx, "networks", c.guest.NetworkID)
	if err != nil {
		return err
	}
	dhcp, err := c.one(ctx, "ports", lab.Query{"network_id": c.guest.NetworkID, "device_owner": neutrino.OwnerDHCP})
	if err != nil {
		return err
	}
	if c.network, err = c.lab.Host(dhcp.Text("binding:host_id")); err != nil {
		return err
	}
	p, d := c.guest.PortID, dhcp.ID()
	kind := network.Text("provider:network_type")
	c.add(map[string]string{
		"port": p, "p11": p[:11], "p10": p[:10], "mac": c.guest.MAC, "MAC": strings.ToUpper(c.guest.MAC), "ip": c.guest.Address,
		"uuid": c.guest.UUID, "dhcp": d, "d11": d[:11], "dmac": dhcp.Text("mac_address"), "dip": dhcp.Addresses()[0],
		"net": network.ID(), "mtu": fmt.Sprint(network.Int("mtu")), "type": kind,
		"key": fmt.Sprintf("%#x", network.Int("provider:segmentation_id")),
		"ns":  "qdhcp-" + network.ID(), "dir": "/var/lib/neutron/dhcp/" + network.ID(),
		"clocal": c.compute.Address.String(), "nlocal": c.network.Address.String(), "endpoint": c.lab.Endpoint(),
		"tonet": kind + "-" + hexOf(c.network), "tocom": kind + "-" + hexOf(c.compute),
		"intable": map[string]string{"gre": "3", "vxlan": "4", "geneve": "6"}[kind],
	})
	return nil
}

// hexOf is a host's tunnel address as the names of tunnel ports have it.
func hexOf(h *lab.Host) string { return fmt.Sprintf("%x", h.Address.AsSlice()) }

// nameRouter fills in the variables of the router and of the public network.
func (c *Cloud) nameRouter(ctx context.Context) error {
	router, err := c.one(ctx, "routers", lab.Query{"name": lab.SeedRouter})
	if err != nil {
		return err
	}
	if c.router, err = c.lab.RouterHost(ctx, router.ID()); err != nil {
		return err
	}
	gateway, err := c.one(ctx, "ports", lab.Query{"device_id": router.ID(), "device_owner": neutrino.OwnerGateway})
	if err != nil {
		return err
	}
	inside, err := c.one(ctx, "ports", lab.Query{"device_id": router.ID(), "network_id": c.guest.NetworkID})
	if err != nil {
		return err
	}
	public, err := c.lab.Client().Get(ctx, "networks", gateway.Text("network_id"))
	if err != nil {
		return err
	}
	floating, err := c.one(ctx, "floatingips", lab.Query{"floating_ip_address": lab.SeedFloatingIP})
	if err != nil {
		return err
	}
	g, r := gateway.ID(), inside.ID()
	c.add(map[string]string{
		"rtr": router.ID(), "rns": "qrouter-" + router.ID(), "Q": "ip netns exec qrouter-" + router.ID(),
		"gport": g, "g11": g[:11], "gmac": gateway.Text("mac_address"), "gip": gateway.Addresses()[0],
		"rport": r, "r11": r[:11], "rmac": inside.Text("mac_address"), "rip": inside.Addresses()[0],
		"pub": public.ID(), "xmtu": fmt.Sprint(public.Int("mtu")), "fip": lab.SeedFloatingIP, "fipid": floating.ID(),
		"far": lab.OutsideFar, "xgw": lab.OutsideGateway, "rlocal": c.router.Address.String(),
		"torouter": c.vars["type"] + "-" + hexOf(c.router),
	})
	return nil
}

func (c *Cloud) add(vars map[string]string) {
	for name, value := range vars {
		c.vars[name] = value
	}
}

// nameVLANs reads the network's local VLANs where an operator reads them.
func (c *Cloud) nameVLANs(ctx context.Context) error {
	for _, v := range []struct{ name, on, port string }{
		{"lv", "compute", "qvo$p11"}, {"nlv", "network", "tap$d11"}, {"rlv", "router", "tap$r11"},
	} {
		out, err := c.sh(ctx, v.on, "ovs-vsctl get Port "+v.port+" tag")
		if err != nil {
			return fmt.Errorf("check: port %s has no VLAN: %w", c.expand(v.port), err)
		}
		c.vars[v.name] = strings.TrimSpace(out)
	}
	return nil
}

// expand replaces the $names that the cloud knows; others belong to the shell.
func (c *Cloud) expand(s string) string {
	return os.Expand(s, func(name string) string {
		if v, ok := c.vars[name]; ok {
			return v
		}
		return "$" + name
	})
}

// sh runs a command where the row says and returns what it printed.
func (c *Cloud) sh(ctx context.Context, on, command string) (string, error) {
	command = c.expand(command)
	if on == "guest" {
		return c.inside(ctx, c.guest, command)
	}
	return c.host(on).Run(ctx, "sh", "-c", command)
}

// inside runs a shell text in an instance; a code other than 0 is an error.
func (c *Cloud) inside(ctx context.Context, g *lab.Guest, script string) (string, error) {
	out, err := g.Exec(ctx, c.expand(script))
	if err == nil && out.Code != 0 {
		err = fmt.Errorf("%s: exit %d: %s", g.Name, out.Code, strings.TrimSpace(out.Stderr))
	}
	return strings.TrimSpace(out.Stdout), err
}

// host is the lab's host that a row calls by what it does.
func (c *Cloud) host(on string) *lab.Host {
	switch on {
	case "network":
		return c.network
	case "router":
		return c.router
	case "outside":
		return c.outside
	}
	return c.compute
}

// later is done by tidy, after the instances are gone; what was named last is
// done first.
func (c *Cloud) later(f func(context.Context) error) { c.undo = append(c.undo, f) }

// tidy takes away what the rows made.
func (c *Cloud) tidy(ctx context.Context) error {
	var errs []error
	for i := len(c.made) - 1; i >= 0; i-- {
		if err := c.lab.RemoveInstance(ctx, c.made[i]); !errors.Is(err, lab.ErrNoInstance) {
			errs = append(errs, err)
		}
	}
	for i := len(c.undo) - 1; i >= 0; i-- {
		errs = append(errs, c.undo[i](ctx))
	}
	for i := len(c.objects) - 1; i >= 0; i-- {
		errs = append(errs, c.lab.Client().Delete(ctx, c.objects[i].collection, c.objects[i].id))
	}
	c.made, c.objects, c.undo, c.other, c.otherErr = nil, nil, nil, nil, nil
	return errors.Join(append(errs, c.dropGroups(ctx))...)
}

// dropGroups deletes the default groups of the projects that rows used: a
// client that looks for "default" must find one.
func (c *Cloud) dropGroups(ctx context.Context) error {
	groups, err := c.lab.Client().List(ctx, "security-groups", nil)
	if err != nil {
		return err
	}
	var errs []error
	for _, g := range groups {
		if strings.HasPrefix(g.Text("project_id"), projectPrefix) {
			errs = append(errs, c.lab.Client().Delete(ctx, "security-groups", g.ID()))
		}
	}
	return errors.Join(errs...)
}

// projectPrefix begins the names of the projects that rows use.
const projectPrefix = "check"
