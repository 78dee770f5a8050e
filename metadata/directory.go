package metadata

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"

	"neutrino"
	"neutrino/plan/names"
	"neutrino/view"
)

// Instance is what the service knows of the instance that asks.
type Instance struct {
	Port      neutrino.ID // the port that it asks by
	DeviceID  string      // its id in Nova
	ProjectID string
	Name      string // of the port
	// PublicKeys and UserData come from the binding:profile of the port.
	PublicKeys map[string]string
	UserData   []byte
	// FixedIPv4 and FloatingIPv4 are of the port; zero where it has none.
	FixedIPv4    netip.Addr
	FloatingIPv4 netip.Addr
	// Interfaces are the ports of the instance that this host knows, by id.
	Interfaces []Interface
}

// Interface is one port of an instance.
type Interface struct {
	Port      neutrino.ID
	Device    string // the name of its tap device
	MAC       neutrino.MAC
	NetworkID neutrino.ID
	MTU       int // bytes
	Addresses []Address
}

// Address is a fixed IP with its subnet.
type Address struct {
	IP     netip.Addr
	Subnet neutrino.Subnet
}

// Directory finds instances in the host's present view. Its zero value knows
// nobody.
type Directory struct {
	view atomic.Pointer[view.Host]
}

// View takes the next view in. It is not changed after that.
func (d *Directory) View(v *view.Host) { d.view.Store(v) }

// Find is the one instance that may send by the MAC and the address among those
// whose requests come in by the scope: those of a network, or those of the
// subnets that a router has a port in. An allowed address pair of a port is the
// port's; the link-local address made of a MAC (RFC 4291, appendix A) is whose
// the MAC is. A port that is bound to no host sends nothing.
//
// Where nobody or more than one fits it is an error: a [*Refusal] when the
// address is that of an instance and the MAC is not.
func (d *Directory) Find(a Asker) (Instance, error) {
	v := d.view.Load()
	if v == nil || !a.Client.IsValid() {
		return Instance{}, errNobody
	}
	a.Client = a.Client.Unmap().WithZone("")
	r := reachOf(v, a.Scope)
	var hits, named []candidate
	for c := range candidates(v) {
		if c.Host != "" && r.sends(c, a) {
			hits = append(hits, c)
		}
		if r.has(c, a.Client) {
			named = append(named, c)
		}
	}
	switch {
	case len(hits) == 1:
		return describe(v, hits[0]), nil
	case len(hits) == 0 && len(named) > 0:
		return Instance{}, impostor(named[0], a)
	}
	return Instance{}, errNobody
}

func impostor(c candidate, a Asker) *Refusal {
	from := "a station whose MAC is unknown"
	if !a.MAC.IsZero() {
		from = "the MAC " + a.MAC.String()
	}
	return &Refusal{Port: c.ID, Reason: fmt.Sprintf(
		"%s asked in %s for the metadata of this port by its address %s, and was refused: the port's MAC is %s; look for who answers ARP for it",
		from, a.Scope, a.Client, c.MAC)}
}

// candidate is a port of an instance, bound here or elsewhere.
type candidate struct {
	view.Neighbour
}

func candidates(v *view.Host) func(yield func(candidate) bool) {
	return func(yield func(candidate) bool) {
		for _, p := range v.Ports {
			c := candidate{view.Neighbour{ID: p.ID, NetworkID: p.NetworkID, MAC: p.MAC, FixedIPs: p.FixedIPs, DeviceOwner: p.DeviceOwner,
				AllowedAddressPairs: p.AllowedAddressPairs, Host: v.Name, DeviceID: p.DeviceID, ProjectID: p.ProjectID, Name: p.Name, Profile: p.Profile}}
			if c.isInstance() && !yield(c) {
				return
			}
		}
		for _, n := range v.Neighbours {
			if c := (candidate{n}); c.isInstance() && !yield(c) {
				return
			}
		}
	}
}

// isInstance leaves the ports of the networks' own services out.
func (c candidate) isInstance() bool {
	return !strings.HasPrefix(c.DeviceOwner, neutrino.OwnerNetworkPrefix) && !strings.HasPrefix(c.DeviceOwner, neutrino.OwnerNeutronPrefix)
}

// reach is whom a scope lets ask: the networks, and where subnets is not nil
// only with addresses of those.
type reach struct {
	networks map[neutrino.ID]bool
	subnets  map[neutrino.ID]neutrino.Subnet
}

func reachOf(v *view.Host, scope string) reach {
	r := reach{networks: map[neutrino.ID]bool{}}
	for id := range v.Networks {
		if neutrino.NetworkObject(id) == scope {
			r.networks[id] = true
			return r
		}
	}
	r.subnets = map[neutrino.ID]neutrino.Subnet{}
	for _, p := range v.Ports {
		if p.DeviceOwner == neutrino.OwnerRouter && neutrino.RouterObject(neutrino.ID(p.DeviceID)) == scope {
			r.networks[p.NetworkID] = true
			for _, f := range p.FixedIPs {
				r.subnets[f.SubnetID] = v.Subnets[f.SubnetID]
			}
		}
	}
	return r
}

// sends reports whether the port may send by the asker's MAC and address.
func (r reach) sends(c candidate, a Asker) bool {
	if a.MAC.IsZero() || !r.networks[c.NetworkID] {
		return false
	}
	if c.MAC == a.MAC && r.has(c, a.Client) {
		return true
	}
	return slices.ContainsFunc(c.AllowedAddressPairs, func(pair neutrino.AddressPair) bool {
		mac := pair.MAC
		if mac.IsZero() {
			mac = c.MAC
		}
		return mac == a.MAC && (a.Client == mac.LinkLocal() || pair.IPAddress.Contains(a.Client) && r.inside(a.Client))
	})
}

// has reports whether the address is the port's own.
func (r reach) has(c candidate, client netip.Addr) bool {
	if !r.networks[c.NetworkID] {
		return false
	}
	if mac, ok := macOf(client); ok {
		return c.MAC == mac
	}
	return slices.ContainsFunc(c.FixedIPs, func(f neutrino.FixedIP) bool {
		_, known := r.subnets[f.SubnetID]
		return f.IPAddress == client && (r.subnets == nil || known)
	})
}

// inside reports whether the scope has a subnet with the address.
func (r reach) inside(client netip.Addr) bool {
	if r.subnets == nil {
		return true
	}
	for _, s := range r.subnets {
		if s.CIDR.Contains(client) {
			return true
		}
	}
	return false
}

// macOf reads the MAC out of a link-local address in modified EUI-64 form.
func macOf(a netip.Addr) (neutrino.MAC, bool) {
	b := a.As16()
	if !a.Is6() || !a.IsLinkLocalUnicast() || b[11] != 0xff || b[12] != 0xfe {
		return neutrino.MAC{}, false
	}
	return neutrino.MAC{b[8] ^ 2, b[9], b[10], b[13], b[14], b[15]}, true
}

func describe(v *view.Host, c candidate) Instance {
	i := Instance{Port: c.ID, DeviceID: c.DeviceID, ProjectID: c.ProjectID, Name: c.Name}
	i.PublicKeys, i.UserData = readProfile(c.Profile)
	for _, f := range c.FixedIPs {
		if f.IPAddress.Is4() {
			i.FixedIPv4 = f.IPAddress
			break
		}
	}
	for _, f := range v.FloatingIPs {
		if f.PortID == c.ID && (!i.FixedIPv4.IsValid() || f.FixedIPAddress == i.FixedIPv4) {
			i.FloatingIPv4 = f.FloatingIPAddress
		}
	}
	for other := range candidates(v) {
		// A device_id is what a project writes there: another project's port with
		// the same one is not of the instance.
		if other.ID == c.ID || c.DeviceID != "" && other.DeviceID == c.DeviceID && other.ProjectID == c.ProjectID {
			i.Interfaces = append(i.Interfaces, interfaceOf(v, other))
		}
	}
	slices.SortFunc(i.Interfaces, func(a, b Interface) int { return cmp.Compare(a.Port, b.Port) })
	return i
}

func interfaceOf(v *view.Host, c candidate) Interface {
	i := Interface{Port: c.ID, Device: names.Tap(c.ID), MAC: c.MAC, NetworkID: c.NetworkID, MTU: v.Networks[c.NetworkID].MTU}
	for _, f := range c.FixedIPs {
		if s, ok := v.Subnets[f.SubnetID]; ok {
			i.Addresses = append(i.Addresses, Address{IP: f.IPAddress, Subnet: s})
		}
	}
	return i
}

// readProfile takes what is given to the instance out of a binding:profile:
// "public_keys" maps names to keys, "user_data" is text or base64 of anything.
// What has another form is left out.
func readProfile(p neutrino.Opaque) (keys map[string]string, userData []byte) {
	var all map[string]json.RawMessage
	if json.Unmarshal([]byte(p), &all) != nil {
		return nil, nil
	}
	if json.Unmarshal(all["public_keys"], &keys) != nil {
		keys = nil
	}
	var text string
	if json.Unmarshal(all["user_data"], &text) != nil || text == "" {
		return keys, nil
	}
	if raw, err := base64.StdEncoding.Strict().DecodeString(strings.TrimSpace(text)); err == nil {
		return keys, raw
	}
	return keys, []byte(text)
}

// maxLabel is the longest name of a host (RFC 1035, 2.3.4).
const maxLabel = 63

// hostname is the port's name as far as a host can have it, or one made of the
// address: "host-10-1-0-2".
func (i Instance) hostname() string {
	var b strings.Builder
	for _, r := range strings.ToLower(i.Name) {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-':
			b.WriteRune(r)
		case r == ' ', r == '_', r == '.':
			b.WriteByte('-')
		}
	}
	name := b.String()
	if name = strings.Trim(name[:min(len(name), maxLabel)], "-"); name != "" {
		return name
	}
	ip := i.FixedIPv4
	for _, f := range i.Interfaces {
		if f.Port == i.Port && !ip.IsValid() && len(f.Addresses) > 0 {
			ip = f.Addresses[0].IP
		}
	}
	if !ip.IsValid() {
		return "host-" + string(i.Port)
	}
	return "host-" + strings.NewReplacer(".", "-", ":", "-").Replace(ip.StringExpanded())
}

// id is what the instance is called in all formats: its id in Nova, or where
// nobody gave one, the port's.
func (i Instance) id() string { return cmp.Or(i.DeviceID, string(i.Port)) }
