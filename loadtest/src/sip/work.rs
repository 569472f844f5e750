//! Which phones register in a phase of a run, and when.

/// When phones begin.
#[derive(Clone, Debug)]
pub(crate) enum Plan {
    /// Each when another one is done: so many are under way. Endless: when all had their turn they begin anew, until they are
    /// told to stop.
    AtOnce { most: u32, endless: bool },
    /// Each at its time, in microseconds from the beginning of the phase, whatever the others do.
    Times(Vec<u64>),
}

/// A phase: these phones, in this order.
#[derive(Clone, Debug)]
pub(crate) struct Work {
    pub(crate) order: Vec<u32>,
    pub(crate) plan: Plan,
    /// Registrations that begin later than this, in microseconds from the beginning of the phase, are counted again by
    /// themselves.
    pub(crate) settled_after: u64,
}

impl Work {
    /// As the command line has it: so many per second, or each when another one is done.
    pub(crate) fn paced(order: Vec<u32>, rate: f64, most: u32) -> Self {
        let plan = if rate > 0.0 {
            Plan::Times((0..order.len()).map(|place| nth(place, rate)).collect())
        } else {
            Plan::AtOnce { most, endless: false }
        };
        Self { order, plan, settled_after: u64::MAX }
    }

    /// Each flow's part: phones go to flows by their number, as in [`place`].
    pub(super) fn split(self, flows: u32) -> Vec<Part> {
        let mut parts: Vec<Part> = (0..flows).map(|_| Part::default()).collect();
        let Self { order, plan, settled_after } = self;
        for (at, number) in order.into_iter().enumerate() {
            let (flow, index) = place(number, flows);
            let part = &mut parts[flow as usize];
            part.order.push(index);
            if let Plan::Times(times) = &plan {
                part.times.push(times[at]);
            }
        }
        for (flow, part) in parts.iter_mut().enumerate() {
            part.settled_after = settled_after;
            match &plan {
                Plan::AtOnce { most, endless } => {
                    let spare = most % flows > u32::try_from(flow).unwrap_or(u32::MAX);
                    part.most = (most / flows + u32::from(spare)) as usize;
                    part.endless = *endless;
                }
                Plan::Times(_) => part.most = usize::MAX,
            }
        }
        parts
    }
}

/// When the phone at this place of a steady row begins, in microseconds.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)] // far below 2^52
pub(crate) fn nth(place: usize, rate: f64) -> u64 {
    (place as f64 * 1e6 / rate) as u64
}

/// The flow of a phone, and its place there.
pub(super) fn place(number: u32, flows: u32) -> (u32, u32) {
    (number % flows, number / flows)
}

/// What is to be done on one flow.
#[derive(Debug, Default)]
pub(super) struct Part {
    order: Vec<u32>,
    /// When each begins, or nothing: as soon as there is room.
    times: Vec<u64>,
    most: usize,
    endless: bool,
    pub(super) settled_after: u64,
    at: usize,
}

impl Part {
    /// The phone that begins next, if it does now; with the moment that it was due. `time` is that since the beginning
    /// of the phase.
    pub(super) fn next(&mut self, time: u64, under_way: usize) -> Option<(u32, u64)> {
        if under_way >= self.most {
            return None;
        }
        if self.at == self.order.len() && self.endless {
            self.at = 0;
        }
        let index = *self.order.get(self.at)?;
        let due = self.times.get(self.at).copied().unwrap_or(time);
        (due <= time).then(|| {
            self.at += 1;
            (index, due)
        })
    }

    /// When the next one begins by the clock.
    pub(super) fn next_time(&self) -> Option<u64> {
        self.times.get(self.at).copied()
    }

    /// How many have not begun. One that never ends has as many as it says at once.
    pub(super) fn left(&self) -> usize {
        if self.endless { self.order.len() } else { self.order.len() - self.at }
    }

    /// Nothing begins any more.
    pub(super) fn stop(&mut self) {
        self.endless = false;
        self.at = self.order.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_split_by_flow_and_keeps_its_times() {
        let work = Work::paced((0..5).collect(), 1_000.0, 1);
        let mut parts = work.split(2);
        assert_eq!(parts.iter().map(Part::left).collect::<Vec<_>>(), [3, 2]);
        assert_eq!(parts[1].next_time(), Some(1_000));
        assert_eq!(parts[1].next(999, 0), None);
        assert_eq!(parts[1].next(5_000, 0), Some((0, 1_000)));
        assert_eq!(parts[1].next(5_000, 0), Some((1, 3_000)));
        assert_eq!(parts[1].next(5_000, 0), None);
    }

    #[test]
    fn as_many_are_under_way_as_was_said_over_all_flows() {
        let parts = Work::paced((0..100).collect(), 0.0, 7).split(3);
        assert_eq!(parts.iter().map(|part| part.most).collect::<Vec<_>>(), [3, 2, 2]);
        let mut part = Work::paced(vec![0, 3], 0.0, 1).split(3).swap_remove(0);
        assert_eq!(part.next(0, 1), None);
        assert_eq!((part.next(0, 0), part.next(9, 0), part.next(9, 0)), (Some((0, 0)), Some((1, 9)), None));
    }

    #[test]
    fn endless_work_begins_anew_until_it_is_stopped() {
        let plan = Plan::AtOnce { most: 1, endless: true };
        let mut part = Work { order: vec![0, 1], plan, settled_after: 0 }.split(1).swap_remove(0);
        let turns: Vec<_> = (0..4).filter_map(|_| part.next(0, 0)).map(|(index, _)| index).collect();
        assert_eq!(turns, [0, 1, 0, 1]);
        part.stop();
        assert_eq!((part.next(0, 0), part.left()), (None, 0));
    }
}
