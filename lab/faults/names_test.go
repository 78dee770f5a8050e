package faults

import (
	"net/netip"
	"strings"

	"neutrino"
	"neutrino/lab"
)

// linkLocal is the IPv6 link-local address of a MAC address.
func linkLocal(mac string) string {
	m, err := neutrino.ParseMAC(mac)
	if err != nil {
		panic(err)
	}
	return m.LinkLocal().String()
}

func addressBytesOf(ip string) []byte { return netip.MustParseAddr(ip).AsSlice() }

// nic is the one interface in a light instance.
func (w *world) nic(g *lab.Guest) string {
	w.Helper()
	out, err := g.Command(w.ctx, "ls", "/sys/class/net").Output()
	w.must(err)
	for _, name := range strings.Fields(string(out)) {
		if name != "lo" {
			return name
		}
	}
	w.Fatal("no interface in " + g.Name)
	return ""
}
