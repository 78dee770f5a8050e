package l3

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"neutrino/lab"
)

// TestRangesOfPortsAreForwarded leads a range port by port, another one to a
// single port, and moves the first: what came through it ends.
func TestRangesOfPortsAreForwarded(t *testing.T) {
	w := story(t)
	g := w.light("ranges", lab.SeedNetwork)
	group, err := w.lab.DefaultGroup(w.ctx)
	w.must(err)
	w.create("security-group-rules", lab.Object{"security_group_id": group.ID(), "direction": "ingress", "protocol": "tcp",
		"port_range_min": 8000, "port_range_max": 8003})
	for _, port := range []int{8000, 8002} {
		w.serve(g, port, "echo", fmt.Sprint(port))
	}
	w.serve(g, 8001, "cat")
	f := w.create("floatingips", lab.Object{"floating_network_id": w.one("networks", lab.Query{"name": lab.SeedPublic}).ID()})
	path := "floatingips/" + f.ID() + "/port_forwardings"
	forward := func(external, internal string) string {
		return w.create(path, lab.Object{"protocol": "tcp", "external_port_range": external, "internal_port_range": internal,
			"internal_port_id": g.PortID, "internal_ip_address": g.Address}).ID()
	}
	span := forward("9000:9002", "8000:8002")
	address := f.Text("floating_ip_address")
	reaches := func(port int, want string) error {
		out, err := w.outside.Run(w.ctx, "sh", "-c", fmt.Sprintf("timeout 3 busybox nc -w 2 %s %d </dev/null || true", address, port))
		if err == nil && out != want {
			err = fmt.Errorf("%s:%d says %q, want %q", address, port, out, want)
		}
		return err
	}
	w.until(patience, func() error { return errors.Join(reaches(9000, "8000"), reaches(9002, "8002")) })
	w.must(reaches(9003, ""))
	flow := w.talk(address, 9001)
	w.until(patience, func() error { return flow.says("before") })

	_, err = w.api.Create(w.ctx, path, lab.Object{"protocol": "tcp", "external_port_range": "9002:9005", "internal_port": 8003,
		"internal_port_id": g.PortID, "internal_ip_address": g.Address})
	if !lab.IsStatus(err, 400) {
		t.Errorf("a range that overlaps another: %v", err)
	}
	var answer any
	w.must(w.api.Do(w.ctx, lab.Request{Method: "PUT", Path: "/v2.0/" + path + "/" + span,
		Body: lab.Object{"port_forwarding": lab.Object{"external_port_range": "9500:9502"}}}, &answer))
	w.until(patience, func() error { return errors.Join(reaches(9500, "8000"), reaches(9502, "8002"), reaches(9000, "")) })
	w.until(patience, func() error {
		if flow.says("after") == nil {
			return errors.New("the flow through the range that moved goes on")
		}
		return nil
	})
	w.must(w.api.Delete(w.ctx, path, span))
	forward("7000:7004", "8002:8002")
	w.until(patience, func() error {
		return errors.Join(reaches(7000, "8002"), reaches(7004, "8002"), reaches(7005, ""), reaches(9500, ""))
	})
	w.asWanted()
}

// TestATunnelledExternalNetworkIsRoutedTo has a router's gateway on a network
// that no physical one carries: instances on it are the outside.
func TestATunnelledExternalNetworkIsRoutedTo(t *testing.T) {
	w := story(t)
	outer := w.create("networks", lab.Object{"name": "tunnelled", "router:external": true})
	if kind := outer.Text("provider:network_type"); kind != string(w.lab.Type) {
		t.Fatalf("the external network is of type %q", kind)
	}
	subnet := func(network, cidr string) string {
		return w.create("subnets", lab.Object{"network_id": network, "ip_version": 4, "cidr": cidr}).ID()
	}
	subnet(outer.ID(), "192.168.77.0/24")
	inner := w.create("networks", lab.Object{"name": "behind"})
	inside := subnet(inner.ID(), "10.77.0.0/24")
	router := w.create("routers", lab.Object{"name": "tunnelled", "external_gateway_info": lab.Object{"network_id": outer.ID()}}).ID()
	w.must(w.lab.AddInterface(w.ctx, router, inside))
	w.Cleanup(func() { w.late(w.lab.RemoveInterface(context.Background(), router, inside)) })
	peer, guest := w.light("peer", outer.ID()), w.light("guest", inner.ID())
	w.serve(peer, 22, "echo", "peer")
	w.serve(guest, 22, "echo", "guest")
	// The peer knows no way to 10.77.0.0/24: an answer comes to the router's own
	// address outside.
	w.until(patience, func() error { return guest.Ping(w.ctx, peer.Address) })
	w.until(patience, func() error { return guest.Connect(w.ctx, peer.Address, 22) })
	if err := peer.Ping(w.ctx, guest.Address); err == nil {
		t.Error("the instance is reached without a floating IP")
	}
	f := w.create("floatingips", lab.Object{"floating_network_id": outer.ID(), "port_id": guest.PortID})
	w.until(patience, func() error { return peer.Connect(w.ctx, f.Text("floating_ip_address"), 22) })
	w.until(patience, func() error { return peer.Ping(w.ctx, f.Text("floating_ip_address")) })
	w.must(guest.Connect(w.ctx, peer.Address, 22))
	w.asWanted()
}
