package walk

import (
	"context"
	"fmt"
	"regexp"

	"neutrino"
	"neutrino/lab"
)

// Cast is who takes part in one walk. The ids and most of the MACs are others
// in each lab; the roles are the same.
type Cast struct {
	VM, DHCP, Interface, Gateway     Member // ports
	Network, Subnet, Router, Default Member
}

// Member is one of the cast.
type Member struct {
	Role string
	ID   string
	MAC  string // of a port, else empty
}

// idLength is a UUID's.
const idLength = 36

// Short is as much of the id as a device's name has.
func (m Member) Short() string { return m.ID[:11] }

// Chain is as much of the id as a chain's name has.
func (m Member) Chain() string { return m.ID[:10] }

// Set is as much of the id as an ipset's name has.
func (m Member) Set() string { return m.ID[:24] }

// Members is the whole cast in the order in which a packet meets it.
func (c Cast) Members() []Member {
	members := make([]Member, 0, 8)
	for _, m := range c.members() {
		members = append(members, *m)
	}
	return members
}

func (c *Cast) members() []*Member {
	return []*Member{&c.VM, &c.Default, &c.Network, &c.Subnet, &c.DHCP, &c.Router, &c.Interface, &c.Gateway}
}

// name gives the members their roles.
func (c *Cast) name() {
	roles := [...]string{"the VM's port", "security group default", "network private", "its subnet",
		"the DHCP server's port", "router router1", "its port inside", "its port outside"}
	for i, m := range c.members() {
		m.Role = roles[i]
	}
}

// Meet asks the lab's API who takes part.
func Meet(ctx context.Context, l *lab.Lab) (Cast, error) {
	var c Cast
	c.name()
	vm, err := l.Guest(lab.SeedVM)
	if err != nil {
		return c, fmt.Errorf("walk: %w", err)
	}
	c.VM.ID, c.VM.MAC, c.Network.ID = vm.PortID, vm.MAC, vm.NetworkID
	group, err := l.DefaultGroup(ctx)
	if err != nil {
		return c, fmt.Errorf("walk: %w", err)
	}
	c.Default.ID = group.ID()
	for _, who := range []struct {
		member     *Member
		collection string
		query      lab.Query
	}{
		{&c.Subnet, "subnets", lab.Query{"name": lab.SeedSubnet}},
		{&c.Router, "routers", lab.Query{"name": lab.SeedRouter}},
		{&c.DHCP, "ports", lab.Query{"network_id": vm.NetworkID, "device_owner": neutrino.OwnerDHCP}},
		{&c.Interface, "ports", lab.Query{"network_id": vm.NetworkID, "device_owner": neutrino.OwnerRouter}},
		{&c.Gateway, "ports", lab.Query{"device_owner": neutrino.OwnerGateway}},
	} {
		found, err := l.Client().List(ctx, who.collection, who.query)
		if err != nil {
			return c, fmt.Errorf("walk: %w", err)
		}
		if len(found) != 1 {
			return c, fmt.Errorf("walk: %d %s are %s, want one", len(found), who.collection, who.member.Role)
		}
		who.member.ID, who.member.MAC = found[0].ID(), found[0].Text("mac_address")
	}
	return c, nil
}

// memberForm is a row of the document's table of its cast.
var memberForm = regexp.MustCompile("(?m)^\\| ([^|]+) \\| `([0-9a-f-]{36})` \\|(?: `([0-9a-f:]{17})`)? \\|$")

// ReadCast finds in a document who took part when it was made.
func ReadCast(document string) (Cast, error) {
	var c Cast
	c.name()
	rows := map[string][]string{}
	for _, row := range memberForm.FindAllStringSubmatch(document, -1) {
		rows[row[1]] = row
	}
	for _, m := range c.members() {
		row := rows[m.Role]
		if row == nil {
			return c, fmt.Errorf("walk: the document does not say who is %s", m.Role)
		}
		m.ID, m.MAC = row[2], row[3]
	}
	return c, nil
}
