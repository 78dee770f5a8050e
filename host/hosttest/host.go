package hosttest

import (
	"maps"

	"neutrino/host"
)

// Host is a whole fake host: one fake for each surface of a [host.State].
type Host struct {
	*Machine
	Namespaces *Fake[string, host.Namespace]
	Bridges    *Fake[string, host.Bridge]
	OVSPorts   *Fake[string, host.OVSPort]
	VIFs       *VIFs
	Links      *Fake[host.LinkKey, host.Link]
	Addresses  *Fake[host.AddressKey, host.Address]
	Routes     *Fake[host.RouteKey, host.Route]
	Sysctls    *Fake[host.SysctlKey, host.Sysctl]
	Sets       *Fake[host.SetKey, host.Set]
	Chains     *Fake[host.ChainKey, host.Chain]
	Hooks      *Fake[host.HookKey, host.Hook]
	Zones      *Fake[uint16, host.Zone]
	Flows      *Fake[host.FlowKey, host.Flow]
	Files      *Fake[string, host.File]
	Processes  *Fake[string, host.Process]

	Leases       *Fake[host.LeaseKey, host.Lease]
	Translations *Fake[string, host.Translation]
	Adverts      *Fake[host.AdvertKey, host.Advert]
	Listeners    *Fake[host.ListenerKey, host.Listener]
}

// New is a host with nothing on it.
func New() *Host {
	m := &Machine{}
	return &Host{
		Machine:    m,
		Namespaces: NewFake[string, host.Namespace](m),
		Bridges:    NewFake[string, host.Bridge](m),
		OVSPorts:   NewFake[string, host.OVSPort](m),
		VIFs:       &VIFs{Machine: m, Plugged: map[string]Interface{}},
		Links:      NewFake[host.LinkKey, host.Link](m),
		Addresses:  NewFake[host.AddressKey, host.Address](m),
		Routes:     NewFake[host.RouteKey, host.Route](m),
		Sysctls:    NewFake[host.SysctlKey, host.Sysctl](m),
		Sets:       NewFake[host.SetKey, host.Set](m),
		Chains:     NewFake[host.ChainKey, host.Chain](m),
		Hooks:      NewFake[host.HookKey, host.Hook](m),
		Zones:      NewFake[uint16, host.Zone](m),
		Flows:      NewFake[host.FlowKey, host.Flow](m),
		Files:      NewFake[string, host.File](m),
		Processes:  NewFake[string, host.Process](m),

		Leases:       NewFake[host.LeaseKey, host.Lease](m),
		Translations: NewFake[string, host.Translation](m),
		Adverts:      NewFake[host.AdvertKey, host.Advert](m),
		Listeners:    NewFake[host.ListenerKey, host.Listener](m),
	}
}

// State is a copy of everything on the host; of the plugged interfaces those
// that a plan has.
func (h *Host) State() *host.State {
	vifs := map[string]host.VIF{}
	for id, i := range h.VIFs.Plugged {
		if i.Claimed {
			vifs[id] = i.VIF
		}
	}
	return &host.State{
		Namespaces: maps.Clone(h.Namespaces.Items), Bridges: maps.Clone(h.Bridges.Items),
		OVSPorts: maps.Clone(h.OVSPorts.Items), VIFs: vifs, Links: maps.Clone(h.Links.Items),
		Addresses: maps.Clone(h.Addresses.Items), Routes: maps.Clone(h.Routes.Items),
		Sysctls: maps.Clone(h.Sysctls.Items), Sets: maps.Clone(h.Sets.Items),
		Chains: maps.Clone(h.Chains.Items), Hooks: maps.Clone(h.Hooks.Items),
		Zones: maps.Clone(h.Zones.Items), Flows: maps.Clone(h.Flows.Items),
		Files: maps.Clone(h.Files.Items), Processes: maps.Clone(h.Processes.Items),
		Leases: maps.Clone(h.Leases.Items), Translations: maps.Clone(h.Translations.Items),
		Adverts: maps.Clone(h.Adverts.Items), Listeners: maps.Clone(h.Listeners.Items),
	}
}
