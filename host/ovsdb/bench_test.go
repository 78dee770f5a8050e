package ovsdb

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
)

// BenchmarkReadVIFs is one Read on a host with 500 ports.
func BenchmarkReadVIFs(b *testing.B) {
	bridges, ports, ifaces := map[string]any{}, map[string]any{}, map[string]any{}
	var uuids [][]string
	for i := range 500 {
		p, f, name := fmt.Sprintf("p%d", i), fmt.Sprintf("i%d", i), fmt.Sprintf("qvo%d", i)
		uuids = append(uuids, []string{"uuid", p})
		ports[p] = map[string]any{"new": map[string]any{"name": name, "tag": 1, "interfaces": []string{"uuid", f},
			"external_ids": wireMap(map[string]string{markVIF: "tag"}), "other_config": wireMap(map[string]string{"tag": "1"})}}
		ifaces[f] = map[string]any{"new": map[string]any{"name": name, "ofport": i + 1,
			"external_ids": wireMap(map[string]string{"iface-id": p, "attached-mac": "fa:16:3e:00:00:01"})}}
	}
	bridges["b"] = map[string]any{"new": map[string]any{"name": "br-int", "ports": wireSet(uuids...)}}
	dump, err := json.Marshal(map[string]any{tableBridge: bridges, tablePort: ports, tableInterface: ifaces})
	if err != nil {
		b.Fatal(err)
	}
	db := New(Options{})
	if err := db.filled(&conn{}, dump); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		got, err := db.VIFs().Read(context.Background())
		if err != nil || len(got) != 500 {
			b.Fatal(len(got), err)
		}
	}
}
