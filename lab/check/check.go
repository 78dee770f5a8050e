// Package check walks the seed's document on a running lab: each row of it is
// shown by looking at the system with the command an operator would use, or by
// traffic. It never asks the plan.
package check

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"neutrino"
	"neutrino/lab"
)

// Row is one line of the seed with how to show it.
type Row struct {
	ID   string // "S064"
	Line string // the seed's line
	// Show is the command that shows it, with $names of [Cloud.vars].
	Show string
	// On is where Show runs: "compute", "network", "guest" or "api".
	On string
	// Want judges what Show printed, and says what is wrong with it.
	Want func(c *Cloud, out string) error
	// Try shows what one command cannot; it replaces On and Want, and returns
	// what was seen.
	Try func(ctx context.Context, c *Cloud) (seen string, err error)
}

// Result is what became of a row.
type Result struct {
	ID   string `json:"id"`
	OK   bool   `json:"ok"`
	Line string `json:"line"`
	Show string `json:"show"`
	Seen string `json:"seen"`
}

// String is the row's line of the report.
func (r Result) String() string {
	verdict := "ok    "
	if !r.OK {
		verdict = "failed"
	}
	return fmt.Sprintf("%s %s line %-8s %s → %s", r.ID, verdict, r.Line, r.Show, r.Seen)
}

// Rows are all rows in the order in which they are tried: first what looks
// only, then what sends traffic, and at the end what restarts and removes.
func Rows() []Row {
	var all []Row
	for _, rows := range [][]Row{setting, instance, integration, tunnel, networkHost, dhcp, traffic, behaviour} {
		all = append(all, rows...)
	}
	return all
}

// Run tries the rows whose ids are given, or all of them, and hands each
// result to report as it comes. The error says that the lab could not be
// checked, not that a row failed.
func Run(ctx context.Context, l *lab.Lab, ids []string, report func(Result)) (failed int, err error) {
	c, err := survey(ctx, l)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, c.tidy(context.WithoutCancel(ctx))) }()
	for _, row := range Rows() {
		if !wanted(row.ID, ids) {
			continue
		}
		if ctx.Err() != nil {
			return failed, ctx.Err()
		}
		r := c.try(ctx, row)
		if !r.OK {
			failed++
		}
		report(r)
	}
	return failed, nil
}

func wanted(id string, ids []string) bool {
	for _, w := range ids {
		if w == id {
			return true
		}
	}
	return len(ids) == 0
}

// try shows one row.
func (c *Cloud) try(ctx context.Context, row Row) Result {
	r := Result{ID: row.ID, Line: row.Line, Show: c.expand(row.Show)}
	var err error
	if row.Try != nil {
		r.Seen, err = row.Try(ctx, c)
	} else {
		var out string
		out, err = c.sh(ctx, row.On, row.Show)
		r.Seen = brief(out)
		if err == nil {
			err = row.Want(c, out)
		}
	}
	r.OK = err == nil
	if err != nil {
		r.Seen = strings.TrimSpace(brief(err.Error()) + "; saw: " + r.Seen)
	}
	return r
}

// brief is the first lines of an output on one line.
func brief(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > 240 {
		s = s[:240] + "…"
	}
	return s
}

// Cloud is the lab as the rows name its parts.
type Cloud struct {
	lab              *lab.Lab
	compute, network *lab.Host
	guest            *lab.Guest
	vars             map[string]string
	made             []string // instances made here, by name
	objects          []made   // API objects made here
}

// made is an API object that tidy deletes.
type made struct{ collection, id string }

// survey finds the seed's objects through the API and names them.
func survey(ctx context.Context, l *lab.Lab) (*Cloud, error) {
	c := &Cloud{lab: l, vars: map[string]string{}}
	guest, err := l.Guest(lab.SeedVM)
	if err != nil {
		return nil, fmt.Errorf("check: %w (is the lab up?)", err)
	}
	c.guest = guest
	if c.compute, err = l.Host(guest.Host); err != nil {
		return nil, err
	}
	for _, h := range l.Hosts() {
		if h.Role == lab.RoleNetwork {
			c.network = h
		}
	}
	if c.network == nil {
		return nil, errors.New("check: the lab has no network host")
	}
	api := l.Client()
	network, err := api.Get(ctx, "networks", guest.NetworkID)
	if err != nil {
		return nil, fmt.Errorf("check: %w", err)
	}
	ports, err := api.List(ctx, "ports", lab.Query{"network_id": guest.NetworkID, "device_owner": neutrino.OwnerDHCP})
	if err != nil || len(ports) != 1 {
		return nil, errors.Join(fmt.Errorf("check: network %s has %d DHCP ports, want 1", network.ID(), len(ports)), err)
	}
	c.name(network, ports[0])
	return c, c.nameVLANs(ctx)
}

// name fills in the variables that the rows use.
func (c *Cloud) name(network, dhcp lab.Object) {
	p, d := c.guest.PortID, dhcp.ID()
	hex := func(h *lab.Host) string { return fmt.Sprintf("%x", h.Address.AsSlice()) }
	c.vars = map[string]string{
		"port": p, "p11": p[:11], "p10": p[:10], "mac": c.guest.MAC, "MAC": strings.ToUpper(c.guest.MAC), "ip": c.guest.Address,
		"uuid": c.guest.UUID, "dhcp": d, "d11": d[:11], "dmac": dhcp.Text("mac_address"), "dip": dhcp.Addresses()[0],
		"net": network.ID(), "mtu": fmt.Sprint(network.Int("mtu")), "type": network.Text("provider:network_type"),
		"key": fmt.Sprintf("%#x", network.Int("provider:segmentation_id")), "X": "neutron-openvswi", "L": "neutron-openvswi",
		"ns": "qdhcp-" + network.ID(), "dir": "/var/lib/neutron/dhcp/" + network.ID(),
		"clocal": c.compute.Address.String(), "nlocal": c.network.Address.String(), "endpoint": c.lab.Endpoint(),
	}
	c.vars["tonet"] = c.vars["type"] + "-" + hex(c.network)
	c.vars["tocom"] = c.vars["type"] + "-" + hex(c.compute)
	c.vars["intable"] = map[string]string{"gre": "3", "vxlan": "4", "geneve": "6"}[c.vars["type"]]
}

// nameVLANs reads the network's local VLANs where an operator reads them.
func (c *Cloud) nameVLANs(ctx context.Context) error {
	lv, err := c.sh(ctx, "compute", "ovs-vsctl get Port qvo$p11 tag")
	if err != nil {
		return fmt.Errorf("check: the VM's port has no VLAN: %w", err)
	}
	nlv, err := c.sh(ctx, "network", "ovs-vsctl get Port tap$d11 tag")
	if err != nil {
		return fmt.Errorf("check: the DHCP port has no VLAN: %w", err)
	}
	c.vars["lv"], c.vars["nlv"] = strings.TrimSpace(lv), strings.TrimSpace(nlv)
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
	switch on {
	case "guest":
		out, err := c.guest.Exec(ctx, command)
		if err == nil && out.Code != 0 {
			err = fmt.Errorf("exit %d: %s", out.Code, strings.TrimSpace(out.Stderr))
		}
		return strings.TrimSpace(out.Stdout), err
	case "network":
		return c.network.Run(ctx, "sh", "-c", command)
	}
	return c.compute.Run(ctx, "sh", "-c", command)
}

// tidy takes away what the rows made.
func (c *Cloud) tidy(ctx context.Context) error {
	var errs []error
	for i := len(c.made) - 1; i >= 0; i-- {
		if err := c.lab.RemoveInstance(ctx, c.made[i]); !errors.Is(err, lab.ErrNoInstance) {
			errs = append(errs, err)
		}
	}
	for i := len(c.objects) - 1; i >= 0; i-- {
		if err := c.lab.Client().Delete(ctx, c.objects[i].collection, c.objects[i].id); err != nil && !lab.IsStatus(err, 404) {
			errs = append(errs, err)
		}
	}
	c.made, c.objects = nil, nil
	return errors.Join(errs...)
}

// Print writes results as lines.
func Print(w io.Writer) func(Result) { return func(r Result) { fmt.Fprintln(w, r) } }
