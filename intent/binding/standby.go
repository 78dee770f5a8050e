package binding

import (
	"slices"
	"strings"

	"neutrino"
	"neutrino/intent/work"
	"neutrino/store"
)

// maxProfile is the longest profile, bytes (api.md section 3.9).
const maxProfile = 4095

// Of are the bindings of a port, the active one first. A port that is not bound
// has no active one.
func Of(p *neutrino.Port) []neutrino.PortBinding {
	var all []neutrino.PortBinding
	if p.HostID != "" {
		all = append(all, p.Binding())
	}
	return append(all, p.Standby...)
}

// Movable refuses ports that are no instance's: nothing moves them to another
// host but the cloud itself.
func Movable(p *neutrino.Port) error {
	if strings.HasPrefix(p.DeviceOwner, neutrino.OwnerComputePrefix) {
		return nil
	}
	return neutrino.Errorf(neutrino.Invalid, "BadRequest",
		"Bad port request: Invalid port %s. Operation only valid on compute ports.", p.ID)
}

// NotFound is the 404 of a binding.
func NotFound(port neutrino.ID, host string) error {
	return neutrino.Errorf(neutrino.NotFound, "PortBindingNotFound",
		"Binding for port %s for host %s could not be found.", port, host)
}

// Create binds a port to one more host. The binding is the active one where the
// port has none, else it waits to be activated. The host must be able to have
// the port.
func Create(tx *work.Tx, port neutrino.ID, b neutrino.PortBinding) (*neutrino.PortBinding, error) {
	c, err := find(tx, port)
	if err != nil {
		return nil, err
	}
	if err := check(&b); err != nil {
		return nil, err
	}
	if slices.ContainsFunc(Of(c.port), func(o neutrino.PortBinding) bool { return o.Host == b.Host }) {
		return nil, neutrino.Errorf(neutrino.Conflict, "PortBindingAlreadyExists",
			"Binding for port %s on host %s already exists.", port, b.Host)
	}
	if err := c.take(&b); err != nil {
		return nil, err
	}
	if c.port.HostID == "" {
		b.Status, c.port.Status = neutrino.BindingActive, neutrino.PortDown
		c.port.Bind(b)
	} else {
		b.Status = neutrino.BindingInactive
		c.port.Standby = append(c.port.Standby, b)
	}
	c.save()
	return &b, nil
}

// Update changes the binding of a port to a host; change gets a copy. Another
// host takes the place of the present one.
func Update(tx *work.Tx, port neutrino.ID, host string, change func(*neutrino.PortBinding) error) (*neutrino.PortBinding, error) {
	c, err := find(tx, port)
	if err != nil {
		return nil, err
	}
	all := Of(c.port)
	at := slices.IndexFunc(all, func(o neutrino.PortBinding) bool { return o.Host == host })
	if at < 0 {
		return nil, NotFound(port, host)
	}
	b := all[at]
	if err := change(&b); err != nil {
		return nil, err
	}
	if err := check(&b); err != nil {
		return nil, err
	}
	if b.Host != host || b.VIFType == neutrino.VIFBindingFailed {
		if b.Host != host && slices.ContainsFunc(all, func(o neutrino.PortBinding) bool { return o.Host == b.Host }) {
			return nil, neutrino.Errorf(neutrino.Conflict, "PortBindingAlreadyExists",
				"Binding for port %s on host %s already exists.", port, b.Host)
		}
		c.give(all[at])
		if err := c.take(&b); err != nil {
			return nil, err
		}
	}
	if b.Status == neutrino.BindingActive {
		if b.Host != host {
			c.port.Status = neutrino.PortDown
		}
		c.port.Bind(b)
	} else {
		c.port.Standby[slices.IndexFunc(c.port.Standby, on(host))] = b
	}
	c.save()
	return &b, nil
}

// Activate makes the binding of a port to a host the active one, and the one
// that was an inactive one, in one step: at no time both hosts wire the port.
func Activate(tx *work.Tx, port neutrino.ID, host string) (*neutrino.PortBinding, error) {
	c, err := find(tx, port)
	if err != nil {
		return nil, err
	}
	if c.port.HostID == host {
		return nil, neutrino.Errorf(neutrino.Conflict, "PortBindingAlreadyActive",
			"Binding for port %s on host %s is already active.", port, host)
	}
	at := slices.IndexFunc(c.port.Standby, on(host))
	if at < 0 {
		return nil, NotFound(port, host)
	}
	next, last := c.port.Standby[at], c.port.Binding()
	c.port.Standby = slices.Delete(c.port.Standby, at, at+1)
	if last.Host != "" {
		// Nova has had word of this one; nobody waits for it to be wired.
		last.Status, last.Wired = neutrino.BindingInactive, true
		c.port.Standby = append(c.port.Standby, last)
	}
	next.Status, c.port.Status = neutrino.BindingActive, neutrino.PortDown
	c.port.Bind(next)
	c.save()
	return &next, nil
}

// Delete ends the binding of a port to a host. Without its active one a port is
// not bound.
func Delete(tx *work.Tx, port neutrino.ID, host string) error {
	c, err := find(tx, port)
	switch {
	case err != nil:
		return err
	case host != "" && c.port.HostID == host:
		Unbind(tx, c.port)
		c.port.HostID, c.port.Status = "", neutrino.PortDown
		Bind(tx, c.network, c.port)
	case slices.ContainsFunc(c.port.Standby, on(host)):
		dropStandby(tx, c.port, host)
	default:
		return NotFound(port, host)
	}
	c.save()
	return nil
}

// Release gives back what the port holds on all of its hosts.
func Release(tx *work.Tx, p *neutrino.Port) {
	Unbind(tx, p)
	for _, b := range p.Standby {
		Unbind(tx, onHost(p, b))
	}
}

// Settle gives up the inactive bindings of a port that is no instance's any more.
func Settle(tx *work.Tx, p *neutrino.Port) {
	for len(p.Standby) > 0 && Movable(p) != nil {
		dropStandby(tx, p, p.Standby[0].Host)
	}
}

// Arrived notes that a host has all of the ports that may move to it, for which
// ready says so: their interface, and what filters it. It is no change of a
// port's revision, as its status is none.
func Arrived(tx *work.Tx, host string, ready func(neutrino.ID) bool) {
	for _, found := range slices.Collect(store.By(tx.Tx, store.PortsByStandbyHost, host)) {
		at := slices.IndexFunc(found.Standby, on(host))
		if found.Standby[at].Wired || !ready(found.ID) {
			continue
		}
		store.Get(tx.Tx, store.Ports, found.ID) // it may not change meanwhile
		p := *found
		p.Standby = slices.Clone(found.Standby)
		p.Standby[at].Wired = true
		tx.PutPort(&p)
	}
}

// change is a port whose bindings are being changed.
type change struct {
	tx      *work.Tx
	port    *neutrino.Port // a copy
	network *neutrino.Network
}

func find(tx *work.Tx, port neutrino.ID) (*change, error) {
	found, err := work.Find(tx, work.Ports(), port)
	if err != nil {
		return nil, err
	}
	if err := Movable(found); err != nil {
		return nil, err
	}
	n, ok := store.Get(tx.Tx, store.Networks, found.NetworkID)
	if !ok {
		return nil, work.Networks().Missing(found.NetworkID)
	}
	p := *found
	p.Standby = slices.Clone(found.Standby)
	return &change{tx, &p, n}, nil
}

func (c *change) save() {
	c.tx.Touch(c.port.ID, &c.port.Standard)
	c.tx.PutPort(c.port)
}

// take allocates on the binding's host what the port needs there.
func (c *change) take(b *neutrino.PortBinding) error {
	p := onHost(c.port, *b)
	Bind(c.tx, c.network, p)
	if p.VIFType != neutrino.VIFOVS {
		return neutrino.Errorf(neutrino.Conflict, "PortBindingError",
			"Binding for port %s on host %s could not be created or updated: no live agent there can have ports of network %s.",
			c.port.ID, b.Host, c.port.NetworkID)
	}
	status := b.Status
	*b = p.Binding()
	b.Status = status
	return nil
}

// give frees on the binding's host what the port holds there.
func (c *change) give(b neutrino.PortBinding) { Unbind(c.tx, onHost(c.port, b)) }

// dropStandby ends the port's inactive binding to the host, if there is one.
func dropStandby(tx *work.Tx, p *neutrino.Port, host string) {
	at := slices.IndexFunc(p.Standby, on(host))
	if at < 0 {
		return
	}
	Unbind(tx, onHost(p, p.Standby[at]))
	p.Standby = slices.Delete(slices.Clone(p.Standby), at, at+1)
}

// onHost is the port as the binding has it.
func onHost(p *neutrino.Port, b neutrino.PortBinding) *neutrino.Port {
	c := *p
	c.Bind(b)
	return &c
}

func on(host string) func(neutrino.PortBinding) bool {
	return func(b neutrino.PortBinding) bool { return b.Host == host }
}

// check looks at what is free text of a limited kind.
func check(b *neutrino.PortBinding) error {
	switch {
	case b.Host == "":
		return neutrino.Invalidf("host of a binding must not be empty")
	case strings.ContainsFunc(b.Host, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '/' }):
		return neutrino.Invalidf("host '%s' of a binding is no name of a host", strings.ToValidUTF8(b.Host, "?"))
	case len(b.Profile) > maxProfile:
		return neutrino.Invalidf("profile value too large")
	}
	if b.Profile == "" {
		b.Profile = "{}"
	}
	if b.VNICType == "" {
		b.VNICType = "normal"
	}
	return nil
}
