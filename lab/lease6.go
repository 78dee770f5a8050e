package lab

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"neutrino"
)

// RequestLease6 runs a DHCPv6 client (RFC 8415) once in a light instance. With
// [neutrino.DHCPv6Stateless] it asks for options alone, and the lease has no
// address.
func (g *Guest) RequestLease6(ctx context.Context, mode neutrino.IPv6Mode) (Lease, error) {
	if g.Kind != KindNamespace {
		return Lease{}, fmt.Errorf("lab: %s: only a light instance has a DHCPv6 client", g.Name)
	}
	nic, err := g.nic(ctx)
	if err != nil {
		return Lease{}, err
	}
	// The client sends from its link-local address, once nobody else has it.
	if err := poll(ctx, 50*time.Millisecond, func() error { return g.linkLocal(ctx, nic) }); err != nil {
		return Lease{}, err
	}
	b, err := guestFiles.ReadFile("guest/dhclient6")
	if err != nil {
		return Lease{}, fmt.Errorf("lab: %w", err)
	}
	script, err := g.lab.writeScript(ctx, "dhclient6", b)
	if err != nil {
		return Lease{}, err
	}
	only := ""
	if mode == neutrino.DHCPv6Stateless {
		only = "-S"
	}
	file := filepath.Join(g.host.Dir(), "lease6-"+g.Name)
	// It stays to renew, which nobody needs here.
	out, err := g.Exec(ctx, fmt.Sprintf("rm -f %[1]s %[1]s.*; timeout 20 dhclient -6 %[2]s -1 -cf /dev/null -lf %[1]s.db -pf %[1]s.pid "+
		"-e LEASE=%[1]s -sf %[3]s %[4]s >&2; kill $(cat %[1]s.pid) 2>/dev/null; cat %[1]s", file, only, script, nic))
	if err != nil {
		return Lease{}, err
	}
	if out.Code != 0 {
		return Lease{}, fmt.Errorf("lab: %s got no answer by DHCPv6: %s", g.Name, strings.TrimSpace(out.Stderr))
	}
	return leaseFields(out.Stdout), nil
}

// linkLocal is nil once the interface may use its link-local address.
func (g *Guest) linkLocal(ctx context.Context, nic string) error {
	out, err := g.output(ctx, "ip -6 addr show dev "+nic+" scope link")
	if err == nil && (!strings.Contains(out, "inet6") || strings.Contains(out, "tentative")) {
		err = fmt.Errorf("lab: %s has no link-local address on %s", g.Name, nic)
	}
	return err
}
