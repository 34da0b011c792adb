-- Reads ARGV from the first argument to the last.
local argument_position = 0

local function argument()
  argument_position = argument_position + 1
  return ARGV[argument_position]
end

-- Returns a table of the next arguments, one for each field.
local function row(fields)
  local values = {}
  for i = 1, #fields do values[fields[i]] = ARGV[argument_position + i] end
  argument_position = argument_position + #fields
  return values
end

-- Returns the rows of a list, whose length is the next argument.
local function row_list(fields)
  local rows = {}
  for i = 1, tonumber(argument()) do rows[i] = row(fields) end
  return rows
end

-- Returns all arguments that are left, as rows.
local function other_rows(fields)
  local rows = {}
  while argument_position < #ARGV do rows[#rows + 1] = row(fields) end
  return rows
end
