package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// prove shows by traffic what the lab is for, from DHCP across the tunnel to
// the way in from outside.
func (l *Lab) prove(ctx context.Context, g *Guest) ([]Proof, error) {
	ctx, cancel := context.WithTimeout(ctx, leaseTime)
	defer cancel()
	bare := l.snapshot().Settings.Bare
	var p *prover
	if !bare { // made while the machine boots
		var err error
		if p, err = l.newProver(ctx, g); err != nil {
			return nil, err
		}
	}
	proofs, err := l.proveLease(ctx, g)
	if err != nil || bare {
		return proofs, err
	}
	for _, step := range []func(context.Context) (Proof, error){p.eastWest, p.outwards, p.inwards, p.metadata} {
		proof, err := p.patiently(ctx, step)
		if err != nil {
			return nil, p.router.fail(ctx, processAgent, err)
		}
		l.say("%s: %s", proof.Claim, proof.Seen)
		proofs = append(proofs, proof)
	}
	return proofs, p.tidy(ctx)
}

// proveLease shows that the instance has its address and reaches its DHCP
// server through the tunnel.
func (l *Lab) proveLease(ctx context.Context, g *Guest) ([]Proof, error) {
	lease, err := g.AwaitLease(ctx)
	if err != nil {
		return nil, l.noLease(ctx, g, err)
	}
	if lease.Address != g.Address {
		return nil, fmt.Errorf("lab: %s got %s by DHCP, its port has %s", g.Name, lease.Address, g.Address)
	}
	l.say("%s has %s/%d by DHCP from %s, mtu %d", g.Name, lease.Address, lease.Bits, lease.Server, lease.MTU)
	proofs := []Proof{{
		Claim: g.Name + " got its port's address by DHCP across the tunnel",
		Seen:  fmt.Sprintf("%s/%d from %s, read in the guest", lease.Address, lease.Bits, lease.Server),
	}}
	err = poll(ctx, 200*time.Millisecond, func() error { return g.Ping(ctx, lease.Server) })
	if err != nil {
		return nil, g.host.fail(ctx, processAgent, err)
	}
	l.say("%s pings its DHCP server %s", g.Name, lease.Server)
	return append(proofs, Proof{Claim: g.Name + " reaches its DHCP server", Seen: "ping " + lease.Server + " answered"}), nil
}

// The proofs' own network: a second subnet behind the seed's router with a
// light instance that has no floating IP. It goes when it has served.
const (
	proofName    = "proof"
	proofCIDR    = "10.2.0.0/24"
	proofGateway = "10.2.0.1"
	proofKey     = 3
)

type prover struct {
	lab      *Lab
	vm       *Guest
	light    *Guest
	router   *Host
	routerID string
	network  string
	subnet   string
}

func (l *Lab) newProver(ctx context.Context, vm *Guest) (*prover, error) {
	c := l.Client()
	routers, err := c.List(ctx, "routers", Query{"name": SeedRouter})
	if err != nil || len(routers) != 1 {
		return nil, fmt.Errorf("lab: %d routers are called %s, want one (%v)", len(routers), SeedRouter, err)
	}
	p := &prover{lab: l, vm: vm, routerID: routers[0].ID()}
	if p.router, err = l.RouterHost(ctx, p.routerID); err != nil {
		return nil, err
	}
	network, err := c.Ensure(ctx, "networks", Query{"name": proofName}, Object{
		"name": proofName, "provider:network_type": string(l.snapshot().Settings.Type), "provider:segmentation_id": proofKey,
	})
	if err != nil {
		return nil, fmt.Errorf("network %s: %w", proofName, err)
	}
	p.network = network.ID()
	subnet, err := c.Ensure(ctx, "subnets", Query{"name": proofName}, Object{
		"name": proofName, "network_id": p.network, "ip_version": 4, "cidr": proofCIDR, "gateway_ip": proofGateway,
	})
	if err != nil {
		return nil, fmt.Errorf("subnet %s: %w", proofName, err)
	}
	p.subnet = subnet.ID()
	if err := l.AddInterface(ctx, p.routerID, p.subnet); err != nil {
		return nil, err
	}
	p.light, err = l.addInstance(ctx, InstanceSpec{Name: proofName, Kind: KindNamespace, Host: vm.Host, Network: p.network})
	if err != nil {
		return nil, err
	}
	if err := p.light.AwaitActive(ctx); err != nil {
		return nil, p.light.host.fail(ctx, processAgent, err)
	}
	_, err = p.light.AwaitLease(ctx)
	return p, err
}

// patiently tries a step until it holds or the time is up: agents still work.
func (p *prover) patiently(ctx context.Context, step func(context.Context) (Proof, error)) (proof Proof, err error) {
	ctx, cancel := context.WithTimeout(ctx, proofTime)
	defer cancel()
	var reason error // of the last failure that was not the end of the time
	err = poll(ctx, 200*time.Millisecond, func() error {
		proof, err = step(ctx)
		if err != nil && ctx.Err() == nil {
			reason = err
		}
		return err
	})
	if err != nil && reason != nil {
		err = fmt.Errorf("%s: %w (tried for %v)", proof.Claim, reason, proofTime)
	}
	return proof, err
}

// proofTime is how long a proof may take that all is in force for already.
const proofTime = 20 * time.Second

// output runs a shell text in an instance and returns what it printed; a code
// other than 0 is an error.
func (g *Guest) output(ctx context.Context, script string) (string, error) {
	out, err := g.Exec(ctx, script)
	if err == nil && out.Code != 0 {
		err = fmt.Errorf("lab: %s: %s: exit %d: %s", g.Name, script, out.Code, strings.TrimSpace(out.Stderr))
	}
	return strings.TrimSpace(out.Stdout), err
}

// Fetch is a shell text that prints what a URL holds, in at most three
// seconds. (wget's own -T crashes in Debian 12's static busybox.)
func Fetch(url string) string { return "timeout 3 busybox wget -q -O - " + url }

func (p *prover) eastWest(ctx context.Context) (Proof, error) {
	return Proof{
		Claim: "east-west: " + p.vm.Name + " reaches another subnet through the router",
		Seen:  fmt.Sprintf("%s → %s answered", p.vm.Address, p.light.Address),
	}, p.vm.Ping(ctx, p.light.Address)
}

func (p *prover) outwards(ctx context.Context) (Proof, error) {
	proof := Proof{Claim: "north-south: an instance without a floating IP reaches beyond the gateway"}
	name, err := p.light.output(ctx, Fetch("http://"+OutsideFar))
	if err != nil {
		return proof, err
	}
	source, err := p.light.output(ctx, Fetch("http://"+OutsideFar+SourcePage))
	if err == nil && (source != p.lab.Source() || name != outsideHost) {
		err = fmt.Errorf("lab: the web server calls itself %q and saw %s, want %s and %s", name, source, outsideHost, p.lab.Source())
	}
	proof.Seen = fmt.Sprintf("%s at %s saw %s as source", name, OutsideFar, source)
	return proof, err
}

func (p *prover) inwards(ctx context.Context) (Proof, error) {
	proof := Proof{Claim: "inwards: the outside reaches " + p.vm.Name + " at its floating IP"}
	outside, err := p.lab.Host(outsideHost)
	if err != nil {
		return proof, err
	}
	page, err := outside.Run(ctx, "sh", "-c", Fetch("http://"+SeedFloatingIP))
	if err != nil {
		return proof, err
	}
	echo, err := outside.Run(ctx, "sh", "-c", "echo hello | busybox nc -w 2 "+SeedFloatingIP+" 22")
	if err == nil && (page != p.vm.Name || echo != "hello") {
		err = fmt.Errorf("lab: %s:80 says %q, :22 echoes %q", SeedFloatingIP, page, echo)
	}
	proof.Seen = fmt.Sprintf("%s:80 says %s, :22 echoes", SeedFloatingIP, page)
	return proof, err
}

// MetadataURL is where an instance reads about itself.
const MetadataURL = "http://169.254.169.254/openstack/latest/meta_data.json"

func (p *prover) metadata(ctx context.Context) (Proof, error) {
	proof := Proof{Claim: "metadata: " + p.vm.Name + " reads its own id at 169.254.169.254"}
	text, err := p.vm.output(ctx, Fetch(MetadataURL))
	if err != nil {
		return proof, err
	}
	var data struct {
		UUID string `json:"uuid"`
	}
	err = json.Unmarshal([]byte(text), &data)
	if err == nil && data.UUID != p.vm.UUID {
		err = errors.New("it is another instance's id")
	}
	if err != nil {
		err = fmt.Errorf("lab: metadata of %s: %w: %q", p.vm.Name, err, text)
	}
	proof.Seen = "uuid " + data.UUID
	return proof, err
}

// tidy takes the proofs' own network away: what stays is the seed's cloud.
func (p *prover) tidy(ctx context.Context) error {
	if err := p.lab.removeInstance(ctx, proofName); err != nil {
		return err
	}
	if err := p.lab.RemoveInterface(ctx, p.routerID, p.subnet); err != nil {
		return err
	}
	return p.lab.Client().Delete(ctx, "networks", p.network)
}
