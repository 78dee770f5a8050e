package cli

import "slices"

func meters() *resource {
	share := onOff("share", "no-share", "shared", "shared between projects")
	return &resource{
		words: "network meter", noun: "MeteringLabel", path: "metering/metering-labels", one: "metering_label", many: "metering_labels", name: "name",
		columns: columns(nil, "ID=id", "Name=name", "Description=description", "Shared=shared"),
		fields:  fields(nil, "description id name project_id shared"),
		create: &form{args: []argument{{name: "name", attr: "name"}},
			options: append(share, descriptionOption(), projectOption()),
			example: "neutrino network meter create outside"},
		remove: true,
	}
}

func meterRules() *resource {
	return &resource{
		words: "network meter rule", noun: "MeteringLabelRule", path: "metering/metering-label-rules", one: "metering_label_rule",
		many: "metering_label_rules",
		columns: columns(nil, "ID=id", "Excluded=excluded", "Direction=direction", "Remote IP Prefix=remote_ip_prefix",
			"Source IP Prefix=source_ip_prefix", "Destination IP Prefix=destination_ip_prefix"),
		fields: fields(nil, `destination_ip_prefix direction id is_excluded=excluded metering_label_id name project_id remote_ip_prefix source_ip_prefix`),
		create: &form{args: []argument{{name: "meter", attr: "metering_label_id", of: "network meter"}},
			options: slices.Concat(
				onOff("exclude", "include", "excluded", "do not count what is to or from the prefix"),
				[]option{
					{name: "ingress", attr: "direction", flag: true, value: "ingress", help: "count what comes in (default)"},
					{name: "egress", attr: "direction", flag: true, value: "egress", help: "count what goes out"},
					{name: "remote-ip-prefix", attr: "remote_ip_prefix", help: "the other side, in CIDR notation"},
					{name: "source-ip-prefix", attr: "source_ip_prefix", help: "the source, in CIDR notation"},
					{name: "destination-ip-prefix", attr: "destination_ip_prefix", help: "the destination, in CIDR notation"},
					projectOption(),
				}),
			finish: func(body object, _ []*given) (object, error) {
				if !body.has("direction") {
					body = body.with("direction", "ingress")
				}
				return body, nil
			},
			example: "neutrino network meter rule create outside --egress --destination-ip-prefix 198.51.100.0/24"},
		remove: true,
	}
}
