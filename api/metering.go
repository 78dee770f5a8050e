package api

import (
	"neutrino"
	"neutrino/intent/metering"
	"neutrino/intent/quota"
	"neutrino/store"
)

// meteringPath begins the paths of what belongs to metering (api.md section 2.23).
const meteringPath = "metering/"

func meteringLabels() *kind[neutrino.MeteringLabel] {
	return kind[neutrino.MeteringLabel]{
		names: names{"metering_label", "metering_labels", meteringPath + "metering-labels",
			"MeteringLabelNotFound", "Metering label '%s' does not exist"},
		table: store.MeteringLabels,
		indexes: []filterIndex[neutrino.MeteringLabel]{
			{"name", store.MeteringLabelsByName},
			{"project_id", store.MeteringLabelsByProject},
		},
		visible: metering.VisibleLabel,
		reach: func(v view) []keyed[neutrino.MeteringLabel] {
			return []keyed[neutrino.MeteringLabel]{{store.MeteringLabelsByProject, []string{v.caller.ProjectID}}}
		},
		create: from(quota.Of(quota.MeteringLabel), metering.CreateLabel), remove: metering.DeleteLabel,
	}.ready()
}

func meteringLabelRules() *kind[neutrino.MeteringLabelRule] {
	return kind[neutrino.MeteringLabelRule]{
		names: names{"metering_label_rule", "metering_label_rules", meteringPath + "metering-label-rules",
			"MeteringLabelRuleNotFound", "Metering label rule '%s' does not exist"},
		table: store.MeteringLabelRules,
		indexes: []filterIndex[neutrino.MeteringLabelRule]{
			{"metering_label_id", store.MeteringLabelRulesByLabel},
			{"project_id", store.MeteringLabelRulesByProject},
		},
		visible: metering.VisibleRule,
		reach: func(v view) []keyed[neutrino.MeteringLabelRule] {
			return []keyed[neutrino.MeteringLabelRule]{{store.MeteringLabelRulesByProject, []string{v.caller.ProjectID}}}
		},
		above: func(v view, r *neutrino.MeteringLabelRule) error {
			l, ok := store.Peek(v.Reader, store.MeteringLabels, r.MeteringLabelID)
			if !ok || !metering.VisibleLabel(v.caller, v.Reader, l) {
				return metering.Labels().Missing(r.MeteringLabelID)
			}
			return nil
		},
		create: from(quota.Of(quota.MeteringLabelRule), metering.CreateRule), remove: metering.DeleteRule,
	}.ready()
}
