#!lua flags=allow-oom
-- Adds charges to the ledger, once.
-- ARGV: the id of the charges; a CHARGE_ROW for each tenant.
require 'shared/arguments'
require 'shared/commits'
require 'shared/ledger'

local commit = argument()
if earlier_result(commit) then return end
for _, charges in ipairs(other_rows(CHARGE_ROW)) do charge(charges.tenant, charges) end
remember_result(commit, {})
