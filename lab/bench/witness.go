package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"neutrino/lab"
)

// The surfaces that a [witness] watches, as the figures name them.
const (
	surfaceFlows   = "flow-mods"
	surfaceRules   = "iptables writes"
	surfaceNetlink = "netlink writes"
	surfaceOVSDB   = "OVSDB writes"
)

var surfaces = [...]string{surfaceFlows, surfaceRules, surfaceNetlink, surfaceOVSDB}

// witness counts what is written on a host, whoever writes, from what Open
// vSwitch and the kernel themselves announce.
type witness struct {
	host *lab.Host

	mu    sync.Mutex
	seen  map[string]int
	first map[string]string // the first write on each surface, in words
	since uint32            // generation of nf_tables at the start

	stops []func() error
}

func watch(ctx context.Context, h *lab.Host) (*witness, error) {
	w := &witness{host: h, seen: map[string]int{}, first: map[string]string{}}
	for _, start := range []func(context.Context) error{w.flows, w.rows, w.links, w.rules} {
		if err := start(ctx); err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", h.Name, err), w.stop())
		}
	}
	return w, nil
}

func (w *witness) note(surface, what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.seen[surface]++; w.seen[surface] == 1 {
		w.first[surface] = what
	}
}

// counts are the writes so far by surface.
func (w *witness) counts() (map[string]int, error) {
	now, err := generation(w.host)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	out := map[string]int{surfaceRules: int(now - w.since)}
	for surface, n := range w.seen {
		out[surface] = n
	}
	return out, nil
}

// example is one of the writes on a surface.
func (w *witness) example(surface string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.first[surface]
}

func (w *witness) stop() error {
	var errs []error
	for _, s := range w.stops {
		errs = append(errs, s())
	}
	w.stops = nil
	return errors.Join(errs...)
}

// flows follows the flow monitors of both bridges (ovs-ofctl(8), monitor).
func (w *witness) flows(context.Context) error {
	for _, bridge := range []string{"br-int", "br-tun"} {
		// It ends with stop, not with the context, so that it is waited for.
		cmd := w.host.Command(context.Background(), "ovs-ofctl", "monitor", bridge, "watch:!initial")
		reader, writer, err := os.Pipe()
		if err != nil {
			return err
		}
		cmd.Stdout, cmd.Stderr = writer, writer
		err = cmd.Start()
		writer.Close()
		if err != nil {
			return errors.Join(fmt.Errorf("flow monitor: %w", err), reader.Close())
		}
		w.stops = append(w.stops, func() error { return stopMonitor(cmd, reader) })
		lines := bufio.NewScanner(reader)
		if !lines.Scan() || !strings.HasPrefix(lines.Text(), "NXST_FLOW_MONITOR reply") {
			return fmt.Errorf("flow monitor of %s said %q", bridge, lines.Text())
		}
		go func() {
			for lines.Scan() {
				if strings.Contains(lines.Text(), "event=") {
					w.note(surfaceFlows, bridge+": "+strings.TrimSpace(lines.Text()))
				}
			}
		}()
	}
	return nil
}

func stopMonitor(cmd *exec.Cmd, reader *os.File) error {
	_ = cmd.Process.Kill() // it may have ended
	_ = cmd.Wait()         // killed
	return reader.Close()
}

// rows follows the columns of the database that say what is configured.
func (w *witness) rows(ctx context.Context) error {
	f, err := followDatabase(ctx, databaseSocket(w.host), map[string][]string{
		"Open_vSwitch": {"bridges", "external_ids", "other_config"},
		"Bridge":       {"name", "ports", "controller", "fail_mode", "protocols", "datapath_type", "external_ids", "other_config"},
		"Port":         {"name", "interfaces", "tag", "trunks", "vlan_mode", "external_ids", "other_config"},
		"Interface":    {"name", "type", "options", "external_ids", "other_config", "mtu_request"},
	}, func(u update) { w.note(surfaceOVSDB, "row of "+u.table) })
	if err == nil {
		w.stops = append(w.stops, f.stop)
	}
	return err
}

// links follows devices, addresses and routes of the host's namespace.
func (w *witness) links(context.Context) error {
	ns, err := netns.GetFromPath(hostNamespace(w.host))
	if err != nil {
		return fmt.Errorf("netlink: %w", err)
	}
	done := make(chan struct{})
	w.stops = append(w.stops, func() error { close(done); return ns.Close() })
	links, addresses, routes := make(chan netlink.LinkUpdate), make(chan netlink.AddrUpdate), make(chan netlink.RouteUpdate)
	err = errors.Join(
		netlink.LinkSubscribeWithOptions(links, done, netlink.LinkSubscribeOptions{Namespace: &ns}),
		netlink.AddrSubscribeWithOptions(addresses, done, netlink.AddrSubscribeOptions{Namespace: &ns}),
		netlink.RouteSubscribeWithOptions(routes, done, netlink.RouteSubscribeOptions{Namespace: &ns}),
	)
	go func() {
		for u := range links {
			w.note(surfaceNetlink, "link "+u.Attrs().Name)
		}
	}()
	go func() {
		for u := range addresses {
			w.note(surfaceNetlink, "address "+u.LinkAddress.String())
		}
	}()
	go func() {
		for u := range routes {
			w.note(surfaceNetlink, "route "+u.Route.String())
		}
	}()
	return err
}

// rules notes where the host's nf_tables stand; each transaction counts one.
func (w *witness) rules(context.Context) (err error) {
	w.since, err = generation(w.host)
	return err
}

// From linux/netfilter/nf_tables.h and nfnetlink.h.
const (
	subsysTables   = 10
	msgGetGen      = 16
	attrGeneration = 1
)

// generation is the number of the last nf_tables transaction in the host's
// namespace. iptables-restore makes one, a reader none.
func generation(h *lab.Host) (id uint32, err error) {
	err = within(hostNamespace(h), func() error {
		req := nl.NewNetlinkRequest(subsysTables<<8|msgGetGen, 0)
		req.AddData(&nl.Nfgenmsg{NfgenFamily: unix.AF_UNSPEC})
		answers, err := req.Execute(unix.NETLINK_NETFILTER, 0)
		if err != nil || len(answers) != 1 {
			return fmt.Errorf("nf_tables generation: %d answers: %w", len(answers), err)
		}
		attrs, err := nl.ParseRouteAttr(answers[0][nl.SizeofNfgenmsg:])
		if err != nil {
			return fmt.Errorf("nf_tables generation: %w", err)
		}
		for _, a := range attrs {
			if a.Attr.Type == attrGeneration && len(a.Value) == 4 {
				id = binary.BigEndian.Uint32(a.Value)
				return nil
			}
		}
		return errors.New("nf_tables generation: not in the answer")
	})
	return id, err
}
