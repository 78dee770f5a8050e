package faults

import (
	"testing"

	"neutrino/lab"
)

// In a stateless group no answer passes without a rule: with ingress tcp/80 and
// no egress the handshake ends at the server's answer, and what the server opens
// itself is not answered.
func TestAStatelessGroupNeedsRulesForAnswers(t *testing.T) {
	w := story(t)
	group := w.create("security-groups", lab.Object{"name": "stateless", "stateful": false})
	for _, r := range w.list("security-group-rules", lab.Query{"security_group_id": group.ID()}) {
		w.must(w.api.Delete(w.ctx, "security-group-rules", r.ID()))
	}
	rule := func(body lab.Object) {
		body["security_group_id"] = group.ID()
		_, err := w.api.Create(w.ctx, "security-group-rules", body)
		w.must(err)
		w.settled(w.compute)
	}
	rule(lab.Object{"direction": "ingress", "protocol": "tcp", "port_range_min": 80, "port_range_max": 80})
	client := w.instance(lab.InstanceSpec{Name: "sl-client", Port: lab.Object{"port_security_enabled": false}})
	server := w.instance(lab.InstanceSpec{Name: "sl-server", Port: lab.Object{"security_groups": []string{group.ID()}}})
	serve := func(g *lab.Guest, port string) {
		cmd := g.Command(w.ctx, "busybox", "nc", "-ll", "-p", port, "-e", "true")
		w.must(cmd.Start())
		w.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	}
	serve(server, "80")
	serve(client, "81")
	if err := client.Connect(w.ctx, server.Address, 80); err == nil {
		t.Error("the server's answer passed without an egress rule")
	}
	rule(lab.Object{"direction": "egress"})
	w.until(repairTime, func() error { return client.Connect(w.ctx, server.Address, 80) })
	if err := server.Connect(w.ctx, client.Address, 81); err == nil {
		t.Error("the answer to the server's own connection passed without an ingress rule")
	}
	w.asWanted(repairTime)
	w.unchanged(w.compute)
}
