#!lua flags=allow-oom
-- Adds charges to the ledger, once.
-- ARGV: as in shared/commits.lua; two lists, each with its length before it: a CHARGE_ROW for each
-- account, a METER_ROW for each meter.
require 'shared/arguments'
require 'shared/commits'
require 'shared/ledger'
require 'shared/meters'

if earlier_result() then return end
for _, charges in ipairs(row_list(CHARGE_ROW)) do charge(charges.account, charges) end
for _, row in ipairs(row_list(METER_ROW)) do add_to_meter(row.meter, row.amount) end
remember_result({})
