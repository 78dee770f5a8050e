package ovsdb

import (
	"encoding/json"
	"fmt"
	"reflect"
	"sort"
	"strconv"
)

// The tables of ovs-vswitchd.conf.db(5) that the hand works on.
const (
	tableRoot      = "Open_vSwitch"
	tableBridge    = "Bridge"
	tablePort      = "Port"
	tableInterface = "Interface"
)

// monitored says which columns of which table are followed. Whatever changes
// often and tells us nothing (statistics, status) is left out.
func monitored() map[string][]string {
	return map[string][]string{
		tableRoot:      {"next_cfg", "cur_cfg"},
		tableBridge:    {"name", "datapath_type", "fail_mode", "protocols", "other_config", "external_ids", "ports"},
		tablePort:      {"name", "tag", "vlan_mode", "trunks", "other_config", "external_ids", "interfaces"},
		tableInterface: {"name", "type", "options", "external_ids", "ofport", "error"},
	}
}

type bridgeRow struct {
	uuid, name, datapathType, failMode string
	protocols                          []string // sorted
	otherConfig, externalIDs           map[string]string
	ports                              []string // uuids, sorted
}

type portRow struct {
	uuid, name, tag, vlanMode string
	trunks                    []string
	otherConfig, externalIDs  map[string]string
	interfaces                []string // uuids
}

type ifaceRow struct {
	uuid, name, kind, ofport, err string // ofport "" while not assigned, "-1" when refused
	options, externalIDs          map[string]string
}

// cache is the monitored part of the database. Rows are replaced, never
// changed, so a row may be used after the lock is gone.
type cache struct {
	nextCfg int64 // what was written
	curCfg  int64 // what ovs-vswitchd has taken up of it
	bridges map[string]*bridgeRow
	ports   map[string]*portRow
	ifaces  map[string]*ifaceRow
	byName  *index // made when asked for, until the next update
}

func newCache() *cache {
	return &cache{bridges: map[string]*bridgeRow{}, ports: map[string]*portRow{}, ifaces: map[string]*ifaceRow{}}
}

// rowChange is one row of an update that changed something we follow.
type rowChange struct {
	table, uuid, name string
	status            bool // ovs-vswitchd's answer (ofport, error) changed
}

type rowUpdate struct {
	Old map[string]json.RawMessage `json:"old"`
	New map[string]json.RawMessage `json:"new"`
}

// apply takes in the rows of a monitor's reply or update (RFC 7047, 4.1.5).
func (c *cache) apply(raw json.RawMessage) ([]rowChange, error) {
	var tables map[string]map[string]rowUpdate
	if err := json.Unmarshal(raw, &tables); err != nil {
		return nil, fmt.Errorf("ovsdb: update: %w", err)
	}
	c.byName = nil
	var out []rowChange
	for table, rows := range tables {
		for uuid, row := range rows {
			d := decoder{row: row.New}
			ch := rowChange{table: table, uuid: uuid}
			changed := false
			switch table {
			case tableRoot:
				c.nextCfg, _ = strconv.ParseInt(d.one("next_cfg"), 10, 64)
				c.curCfg, _ = strconv.ParseInt(d.one("cur_cfg"), 10, 64)
			case tableBridge:
				changed = c.applyBridge(&ch, &d)
			case tablePort:
				changed = c.applyPort(&ch, &d)
			case tableInterface:
				changed = c.applyInterface(&ch, &d)
			}
			if d.err != nil {
				return nil, fmt.Errorf("ovsdb: update of table %s: %w", table, d.err)
			}
			if changed {
				out = append(out, ch)
			}
		}
	}
	return out, nil
}

func (c *cache) applyBridge(ch *rowChange, d *decoder) bool {
	old := c.bridges[ch.uuid]
	if d.row == nil {
		delete(c.bridges, ch.uuid)
		if old != nil {
			ch.name = old.name
		}
		return old != nil
	}
	b := &bridgeRow{uuid: ch.uuid, name: d.one("name"), datapathType: d.one("datapath_type"), failMode: d.one("fail_mode"),
		protocols: d.sorted("protocols"), otherConfig: d.pairs("other_config"), externalIDs: d.pairs("external_ids"),
		ports: d.sorted("ports")}
	if b.datapathType == "" {
		b.datapathType = "system" // what ovs-vswitchd takes it for
	}
	ch.name = b.name
	c.bridges[ch.uuid] = b
	return !reflect.DeepEqual(old, b)
}

func (c *cache) applyPort(ch *rowChange, d *decoder) bool {
	old := c.ports[ch.uuid]
	if d.row == nil {
		delete(c.ports, ch.uuid)
		if old != nil {
			ch.name = old.name
		}
		return old != nil
	}
	p := &portRow{uuid: ch.uuid, name: d.one("name"), tag: d.one("tag"), vlanMode: d.one("vlan_mode"), trunks: d.sorted("trunks"),
		otherConfig: d.pairs("other_config"), externalIDs: d.pairs("external_ids"), interfaces: d.sorted("interfaces")}
	ch.name = p.name
	c.ports[ch.uuid] = p
	return !reflect.DeepEqual(old, p)
}

func (c *cache) applyInterface(ch *rowChange, d *decoder) bool {
	old := c.ifaces[ch.uuid]
	if d.row == nil {
		delete(c.ifaces, ch.uuid)
		if old != nil {
			ch.name = old.name
		}
		return old != nil
	}
	i := &ifaceRow{uuid: ch.uuid, name: d.one("name"), kind: d.one("type"), ofport: d.one("ofport"), err: d.one("error"),
		options: d.pairs("options"), externalIDs: d.pairs("external_ids")}
	ch.name = i.name
	if old == nil {
		ch.status = i.ofport != "" || i.err != ""
	} else {
		ch.status = old.ofport != i.ofport || old.err != i.err
	}
	c.ifaces[ch.uuid] = i
	return !reflect.DeepEqual(old, i)
}

// index is the cache by name, for work on many rows. It is not changed once made.
type index struct {
	bridges map[string]*bridgeRow
	ports   map[string]*portRow
	ifaces  map[string]*ifaceRow
	on      map[string]*bridgeRow // by the port's uuid
	byUUID  map[string]*ifaceRow
	behind  bool // ovs-vswitchd has not taken up all that was written
}

func (c *cache) index() *index {
	if c.byName != nil {
		return c.byName
	}
	x := &index{bridges: map[string]*bridgeRow{}, ports: map[string]*portRow{},
		ifaces: map[string]*ifaceRow{}, on: map[string]*bridgeRow{}, byUUID: map[string]*ifaceRow{},
		behind: c.curCfg < c.nextCfg}
	for _, b := range c.bridges {
		x.bridges[b.name] = b
		for _, p := range b.ports {
			x.on[p] = b
		}
	}
	for _, p := range c.ports {
		x.ports[p.name] = p
	}
	for uuid, i := range c.ifaces {
		x.ifaces[i.name], x.byUUID[uuid] = i, i
	}
	c.byName = x
	return x
}

// same reports whether two caches hold the same rows.
func (c *cache) same(o *cache) bool {
	return reflect.DeepEqual(c.bridges, o.bridges) && reflect.DeepEqual(c.ports, o.ports) && reflect.DeepEqual(c.ifaces, o.ifaces)
}

// decoder reads the columns of a row and keeps the first failure.
type decoder struct {
	row map[string]json.RawMessage
	err error
}

func (d *decoder) one(column string) string {
	if a := d.sorted(column); len(a) > 0 {
		return a[0]
	}
	return ""
}

func (d *decoder) sorted(column string) []string {
	a, err := atoms(d.row[column])
	if err != nil && d.err == nil {
		d.err = fmt.Errorf("column %s: %w", column, err)
	}
	sort.Strings(a)
	return a
}

func (d *decoder) pairs(column string) map[string]string {
	m, err := pairs(d.row[column])
	if err != nil && d.err == nil {
		d.err = fmt.Errorf("column %s: %w", column, err)
	}
	return m
}
