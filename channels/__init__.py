"""The air: geometry, propagation, fading and NR tables. Pure functions and arrays.

Where things stand: `geometry`, `mobility` and `antenna` say who is where and faces whom; `propagation` (path loss),
`line_of_sight`, `penetration`, `shadowing` and their sum `large_scale` give the slow gain; `tap_profiles`, `fading` and
`recorded` the fast one (`record_cdl`, `record_ray_tracing` make recordings); `noise`, `power`, `eesm`
turn gains into an SINR; `nr`, `bler`, `harq` and `link_adaptation` turn an SINR into bits; `energy` prices the radio;
`theory` holds the closed forms that all of it is tested against.
"""
