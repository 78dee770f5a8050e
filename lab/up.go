package lab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
)

// UpOptions change how Up works.
type UpOptions struct {
	Keep bool // leave everything running when a step fails, for a look
}

// Proof is something that Up saw with its own eyes, by traffic.
type Proof struct {
	Claim string `json:"claim"`
	Seen  string `json:"seen"`
}

// Result is what Up has to tell.
type Result struct {
	Name     string   `json:"name"`
	Endpoint string   `json:"endpoint"`
	Already  bool     `json:"already"` // the lab ran before; nothing was done
	Seconds  float64  `json:"seconds"`
	Proofs   []Proof  `json:"proofs"`
	Next     []string `json:"next"` // commands worth trying
}

// Up brings the lab up with the seed's scenario and proves it by traffic. A
// lab that runs already is left as it is; a half one is taken down first. When
// the context ends, all that was made is removed; when a step fails, it is
// stopped, and the logs stay until the next Up or Down.
func (l *Lab) Up(ctx context.Context, o UpOptions) (*Result, error) {
	if err := l.checkRequirements(ctx); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(l.Dir), 0o755); err != nil {
		return nil, fmt.Errorf("lab: %w", err)
	}
	unlock, err := l.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if l.Running(ctx) {
		l.say("lab %s is running since %s", l.Name, l.snapshot().Made.Local().Format(time.DateTime))
		return l.result(nil), nil
	}
	if l.snapshot().ID != "" {
		l.say("taking down what an earlier lab left")
		if err := l.tearDown(ctx); err != nil {
			return nil, err
		}
	}
	proofs, err := l.build(ctx)
	if err != nil {
		return nil, l.giveUp(ctx, o, err)
	}
	return l.result(proofs), nil
}

// giveUp stops what was made, unless it is to be kept.
func (l *Lab) giveUp(ctx context.Context, o UpOptions, cause error) error {
	if o.Keep {
		return cause
	}
	interrupted := ctx.Err()
	l.say("failed: stopping what was made")
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), downTime)
	defer cancel()
	if interrupted != nil { // nobody will look for the reason in the logs
		if err := l.tearDown(ctx); err != nil {
			return fmt.Errorf("lab: interrupted, and the lab could not be taken down: %w", err)
		}
		return fmt.Errorf("lab: interrupted: everything was taken down: %w", interrupted)
	}
	if err := l.stopAll(ctx); err != nil {
		return fmt.Errorf("%w\n\nand the lab could not be stopped: %w", cause, err)
	}
	return cause
}

func (l *Lab) build(ctx context.Context) ([]Proof, error) {
	if err := l.checkBinary(ctx); err != nil {
		return nil, err
	}
	if err := l.begin(ctx); err != nil {
		return nil, err
	}
	steps, sctx := errgroup.WithContext(ctx)
	steps.Go(func() error { return l.prepareImage(sctx) })
	steps.Go(func() error {
		if err := l.makeHosts(sctx); err != nil {
			return err
		}
		return l.startServices(sctx)
	})
	if err := steps.Wait(); err != nil {
		return nil, err
	}
	g, err := l.addInstance(ctx, InstanceSpec{Name: SeedVM, MAC: SeedMAC, IP: SeedIP})
	if err != nil {
		return nil, err
	}
	l.say("%s: virtual machine %s boots on %s, port %s", g.Host, g.Name, g.Tap(), g.PortID)
	if !l.snapshot().Settings.Bare {
		if err := l.PublicScenario(ctx, g.PortID); err != nil {
			return nil, err
		}
		l.say("router %s: %s on %s, gateway %s; floating IP %s for %s", SeedRouter, SeedGateway, SeedSubnet, SeedSource, SeedFloatingIP, g.Name)
	}
	proofs, err := l.prove(ctx, g)
	if err != nil {
		return nil, err
	}
	return proofs, l.record(ctx, func(st *state) { st.Complete = true })
}

// begin writes the record of a lab that has nothing yet.
func (l *Lab) begin(ctx context.Context) error {
	st, err := newState(l.Settings)
	if err != nil {
		return err
	}
	st.APIPort = l.APIPort
	st.Hosts = append([]HostRecord{{Name: underlayHost, Role: roleUnderlay}}, l.plannedHosts()...)
	return l.record(ctx, func(old *state) { *old = st })
}

// makeHosts makes the underlay and all hosts with their Open vSwitch, side by
// side, and shows that they reach each other.
func (l *Lab) makeHosts(ctx context.Context) error {
	holders, hctx := errgroup.WithContext(ctx)
	for _, r := range l.snapshot().Hosts {
		holders.Go(func() error {
			if r.Role == roleUnderlay {
				return l.makeUnderlay(hctx, r)
			}
			return l.startHolder(hctx, r)
		})
	}
	if err := holders.Wait(); err != nil {
		return err
	}
	l.say("namespaces of %d hosts", len(l.Hosts()))
	switches, sctx := errgroup.WithContext(ctx)
	for _, h := range l.Hosts() {
		switches.Go(func() error { return h.furnish(sctx) })
	}
	if err := switches.Wait(); err != nil {
		return err
	}
	return l.greetAll(ctx)
}

// furnish connects the host and gives it its Open vSwitch.
func (h *Host) furnish(ctx context.Context) error {
	if h.Role == RoleOutside {
		return h.furnishOutside(ctx)
	}
	nic := cable{host: h.HostRecord, nic: uplinkName, to: underlayName, port: h.Name}
	if !h.hasOVS() {
		nic.address = h.underlayAddress()
		return h.lab.connect(ctx, nic)
	}
	if err := h.lab.connect(ctx, nic); err != nil {
		return err
	}
	if err := h.startOVS(ctx); err != nil {
		return err
	}
	if h.hasBridge() {
		if err := h.plugExternal(ctx); err != nil {
			return err
		}
	}
	h.lab.say("%s: Open vSwitch, tunnel address %s", h.Name, h.Address)
	return nil
}

// greetAll lets each host with a tunnel endpoint ping each other one.
func (l *Lab) greetAll(ctx context.Context) error {
	greetings, gctx := errgroup.WithContext(ctx)
	for _, from := range l.Hosts() {
		for _, to := range l.Hosts() {
			if from.hasOVS() && to.hasOVS() && from.Name != to.Name {
				greetings.Go(func() error { return from.fail(gctx, processVswitchd, from.greet(gctx, to.HostRecord)) })
			}
		}
	}
	if err := greetings.Wait(); err != nil {
		return err
	}
	l.say("underlay: the tunnel endpoints reach each other")
	return nil
}

// startServices starts server and agents, waits for both and makes the
// scenario.
func (l *Lab) startServices(ctx context.Context) error {
	if err := l.startHosts(ctx); err != nil {
		return err
	}
	controller, err := l.Host(RoleController)
	if err != nil {
		return err
	}
	if err := controller.awaitServer(ctx); err != nil {
		return err
	}
	l.say("controller: the API answers at %s", l.Endpoint())
	agents, actx := errgroup.WithContext(ctx)
	for _, h := range l.Hosts() {
		if !h.hasOVS() {
			continue
		}
		agents.Go(func() error {
			err := h.awaitAgent(actx)
			if err == nil {
				l.say("%s: the agent is alive", h.Name)
			}
			return err
		})
	}
	if err := agents.Wait(); err != nil {
		return err
	}
	network, err := l.Scenario(ctx)
	if err != nil {
		return controller.fail(ctx, processServer, err)
	}
	l.say("network %s: %s key %d, mtu %d, subnet %s", SeedNetwork, network.Text("provider:network_type"),
		network.Int("provider:segmentation_id"), network.Int("mtu"), SeedCIDR)
	return nil
}

// leaseTime is how long a virtual machine may take from its start to its
// lease: more than the slowest machine needs, so that a failure is one.
const leaseTime = 60 * time.Second

// noLease finds out which half is to blame: the instance's host or the one
// with the DHCP server.
func (l *Lab) noLease(ctx context.Context, g *Guest, cause error) error {
	ask, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := g.active(ask); err != nil {
		return g.host.fail(ask, processAgent, fmt.Errorf("%w; %w", cause, err))
	}
	address, err := l.dhcpAddress(ask, g.NetworkID)
	if err != nil || address == "" {
		controller, herr := l.Host(RoleController)
		if herr != nil {
			return herr
		}
		return controller.fail(ask, processServer, fmt.Errorf("%w; the network has no DHCP port (%v)", cause, err))
	}
	server, err := l.dhcpHost(ask, g.NetworkID)
	if err != nil {
		return err
	}
	return server.fail(ask, processAgent, fmt.Errorf("%w; its port is ACTIVE, the DHCP server should be at %s", cause, address))
}

func (l *Lab) result(proofs []Proof) *Result {
	r := &Result{
		Name: l.Name, Endpoint: l.Endpoint(), Already: proofs == nil,
		Seconds: time.Since(l.began).Seconds(), Proofs: proofs,
	}
	self := "neutrino lab"
	switch {
	case l.Name != DefaultName:
		self += " --name " + l.Name
	case l.Dir != DefaultDir:
		self += " --dir " + l.Dir
	}
	r.Next = []string{
		self + " exec compute1 -- ovs-vsctl show",
		self + " exec compute1 -- ovs-ofctl dump-flows br-tun",
		self + " exec compute1 -- iptables -S",
		self + " exec network1 -- ip netns",
		self + " exec outside -- ping -c 1 " + SeedFloatingIP,
		self + " vm exec " + SeedVM + " -- ip addr",
		self + " vm console " + SeedVM,
		self + " vm add ns1 --kind namespace",
		"openstack --os-auth-type none --os-endpoint " + r.Endpoint + " network list",
		self + " status",
		self + " down",
	}
	return r
}
