"""Who is treated, when: records lined up by county and period."""
