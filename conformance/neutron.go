package main

// neutronSuite is the suite of Debian's package neutron-tempest-plugin: the API
// tests that Neutron's developers hold it against.
func neutronSuite() suite {
	// Later versions of these tests send force: true.
	const limits = "it sets a quota below what is used, which quota-check-limit-default refuses"
	const groups = "neutron_tempest_plugin.api.test_security_groups."
	return suite{part: partNeutron, tests: `^neutron_tempest_plugin\.api\.`, without: map[string]string{
		groups + "SecGroupQuotaTest.test_sg_quota_values":                                limits,
		groups + "SecGroupQuotaTest.test_sg_quota_decrease_less_than_created":            limits,
		groups + "SecGroupRulesQuotaTest.test_sg_rules_quota_values":                     limits,
		groups + "SecGroupRulesQuotaTest.test_sg_rules_quota_decrease_less_than_created": limits,
	}}
}
