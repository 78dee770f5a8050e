package check

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"neutrino"
	"neutrino/lab"
)

// tenant is a project with a router of its own and one instance behind it, at
// the same address as the others'.
type tenant struct {
	project string
	guest   *lab.Guest
	id      string // of its router
	address string // floating
	router  string // address of its router outside
	hidden  string // an address of its router that no other tenant's subnet covers
}

const tenantAddress = "10.9.0.5"

// newTenant makes a tenant; n tells tenants apart.
func (c *Cloud) newTenant(ctx context.Context, n int) (*tenant, error) {
	x := &tenant{project: fmt.Sprintf("%s-tenant%d", projectPrefix, n), hidden: fmt.Sprintf("10.8.%d.1", n)}
	api := c.lab.Client()
	api.Project = x.project
	network, subnet, err := c.make(ctx, segment{name: x.project, project: x.project, key: 7100 + n, cidr: "10.9.0.0/24"})
	if err != nil {
		return nil, err
	}
	_, hidden, err := c.make(ctx, segment{name: x.project + "-hidden", project: x.project, key: 7110 + n, cidr: fmt.Sprintf("10.8.%d.0/24", n)})
	if err != nil {
		return nil, err
	}
	router, err := api.Create(ctx, "routers", lab.Object{"name": x.project, "external_gateway_info": lab.Object{"network_id": c.vars["pub"]}})
	if err != nil {
		return nil, err
	}
	x.id = router.ID()
	c.objects = append(c.objects, made{"routers", x.id})
	for _, s := range []string{subnet, hidden} {
		if err := c.lab.AddInterface(ctx, router.ID(), s); err != nil {
			return nil, err
		}
		c.later(func(ctx context.Context) error { return c.lab.RemoveInterface(ctx, router.ID(), s) })
	}
	gateway, err := c.one(ctx, "ports", lab.Query{"device_id": router.ID(), "device_owner": neutrino.OwnerGateway})
	if err != nil {
		return nil, err
	}
	x.router = gateway.Addresses()[0]
	if err := c.open(ctx, x.project); err != nil {
		return nil, err
	}
	name := fmt.Sprintf("tenant%d", n)
	if x.guest, _, err = c.instance(ctx, lab.InstanceSpec{Name: name, Host: c.compute.Name, Network: network, Project: x.project, IP: tenantAddress}); err != nil {
		return nil, err
	}
	f, err := c.floating(ctx, x.guest.PortID)
	if err != nil {
		return nil, err
	}
	x.address = f.Text("floating_ip_address")
	return x, c.serve(ctx, x.guest)
}

// open lets everybody in to the project's instances by ICMP and on port 80.
func (c *Cloud) open(ctx context.Context, project string) error {
	group, err := c.one(ctx, "security-groups", lab.Query{"project_id": project, "name": neutrino.DefaultGroup})
	if err != nil {
		return err
	}
	for _, rule := range []lab.Object{
		{"protocol": "icmp"}, {"protocol": "tcp", "port_range_min": 80, "port_range_max": 80},
	} {
		rule["security_group_id"], rule["direction"] = group.ID(), string(neutrino.Ingress)
		if _, err := c.lab.Client().Create(ctx, "security-group-rules", rule); err != nil {
			return err
		}
	}
	return nil
}

// tenantsAreApart gives two tenants the same addresses behind routers of their
// own on one external network. Each is reached at its floating IP, reads its
// own metadata, and reaches nothing of the other's or of the hosts'.
func tenantsAreApart(t *testing.T, ctx context.Context, l *lab.Lab) {
	c, err := survey(ctx, l)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := c.tidy(context.WithoutCancel(ctx)); err != nil {
			t.Errorf("tidy: %v", err)
		}
	}()
	var both [2]*tenant
	for i := range both {
		if both[i], err = c.newTenant(ctx, i+1); err != nil {
			t.Fatalf("tenant %d: %v", i+1, err)
		}
	}
	for i, own := range both {
		other := both[1-i]
		if err := c.pageFrom(ctx, own.address, own.guest.Name); err != nil {
			t.Errorf("%s from outside: %v", own.project, err)
		}
		if _, err := c.source(ctx, own.guest, own.address); err != nil {
			t.Errorf("%s to the outside: %v", own.project, err)
		}
		c.ownMetadata(t, ctx, own, other)
		c.nothingElse(t, ctx, own, other)
		t.Run(own.project+" by a route of its router's", func(t *testing.T) { c.noWayThrough(t, ctx, own, other) })
	}
}

// ownMetadata lets a tenant ask for its metadata, also with another's name in
// the headers.
func (c *Cloud) ownMetadata(t *testing.T, ctx context.Context, own, other *tenant) {
	t.Helper()
	for _, header := range []string{
		"X-Forwarded-For: " + tenantAddress, "X-Instance-ID: " + other.guest.UUID, "X-Tenant-ID: " + other.project,
		"X-Neutron-Router-ID: " + c.vars["rtr"], "X-Neutron-Network-ID: " + other.guest.NetworkID,
	} {
		ask := fmt.Sprintf(`printf 'GET /openstack/latest/meta_data.json HTTP/1.0\r\nHost: 169.254.169.254\r\n%s\r\n\r\n' | busybox nc -w 3 169.254.169.254 80`, header)
		err := until(ctx, patience, func(ctx context.Context) error {
			out, err := c.inside(ctx, own.guest, ask)
			if err == nil && strings.Contains(out, other.guest.UUID) {
				t.Errorf("%s with %q reads the metadata of %s", own.project, header, other.project)
			}
			return errors.Join(err, has(own.guest.UUID)(c, out))
		})
		if err != nil {
			t.Errorf("%s with %q does not read its own metadata: %v", own.project, header, err)
		}
	}
}

// nothingElse tries what a tenant must not reach. Its way to the outside is
// open while it does.
func (c *Cloud) nothingElse(t *testing.T, ctx context.Context, own, other *tenant) {
	t.Helper()
	for what, script := range map[string]string{
		"an inner address of the other's router":    "ping -c 1 -W 1 " + other.hidden,
		"the metadata service of the other":         "busybox nc -w 1 " + other.router + " 9697 </dev/null",
		"its own router's metadata service by port": "busybox nc -w 1 10.9.0.1 9697 </dev/null",
		"the seed's VM":               "ping -c 1 -W 1 " + c.guest.Address,
		"the network host":            "ping -c 1 -W 1 " + c.network.Address.String(),
		"the compute host":            "ping -c 1 -W 1 " + c.compute.Address.String(),
		"the controller's API":        "busybox nc -w 1 192.0.2.10 9696 </dev/null",
		"the DHCP server of the seed": "ping -c 1 -W 1 " + c.vars["dip"],
	} {
		if _, err := c.inside(ctx, own.guest, script); err == nil {
			t.Errorf("%s reaches %s: %s", own.project, what, script)
		}
	}
	for _, open := range []string{lab.OutsideFar, own.hidden} {
		if err := own.guest.Ping(ctx, open); err != nil {
			t.Errorf("%s: %s is out of reach, so the rest shows nothing: %v", own.project, open, err)
		}
	}
}

// noWayThrough gives the tenant's router a route to the other's subnet by way
// of the other's router, which every tenant may ask the API for.
func (c *Cloud) noWayThrough(t *testing.T, ctx context.Context, own, other *tenant) {
	set := func(ctx context.Context, routes []lab.Object) error {
		_, err := c.lab.Client().Update(ctx, "routers/"+own.id, lab.Object{"routes": routes})
		return err
	}
	to := other.hidden + "/32"
	if err := set(ctx, []lab.Object{{"destination": to, "nexthop": other.router}}); err != nil {
		return // the API refuses the route: that is a way to be apart too
	}
	defer func() {
		if err := set(context.WithoutCancel(ctx), []lab.Object{}); err != nil {
			t.Errorf("take the route back: %v", err)
		}
	}()
	h, err := c.lab.RouterHost(ctx, own.id)
	if err != nil {
		t.Fatal(err)
	}
	err = until(ctx, patience, func(ctx context.Context) error {
		out, err := h.Run(ctx, "ip", "netns", "exec", "qrouter-"+own.id, "ip", "route")
		return errors.Join(err, has(other.hidden+" via "+other.router)(c, out))
	})
	if err != nil {
		t.Fatal(err)
	}
	if own.guest.Ping(ctx, other.hidden) == nil {
		t.Errorf("%s reaches %s, an inner address of the router of %s, by way of %s", own.project, other.hidden, other.project, other.router)
	}
}
