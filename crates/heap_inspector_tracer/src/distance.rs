//! How far it is to the next allocation that is looked at.

/// Random distances with a given mean, geometrically distributed: as if each allocation were drawn for itself, so that a program that
/// allocates in a rhythm is not looked at in that rhythm.
#[derive(Clone, Debug)]
pub struct Distances {
    state: u64,
    mean: u32,
    /// 1 / ln(1 - 1 / mean).
    scale: f64,
}

impl Distances {
    /// The longest mean.
    pub const MOST: u32 = 1 << 24;

    /// Distances of `mean` on average, at least 1.
    #[must_use]
    pub fn new(mean: u32, seed: u64) -> Distances {
        let mean = mean.clamp(1, Self::MOST);
        Distances { state: seed | 1, mean, scale: (-1.0 / f64::from(mean)).ln_1p().recip() }
    }

    /// The mean.
    #[must_use]
    pub fn mean(&self) -> u32 {
        self.mean
    }

    /// A number below 1 and above 0: xorshift64* (Vigna 2014, "An experimental exploration of Marsaglia's xorshift generators,
    /// scrambled").
    pub fn random(&mut self) -> f64 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        let bits = self.state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11;
        (bits as f64 + 0.5) / (1_u64 << 53) as f64
    }

    /// The next distance; 1 is the very next allocation.
    pub fn draw(&mut self) -> u32 {
        if self.mean == 1 {
            return 1;
        }
        let distance = (self.random().ln() * self.scale).ceil();
        // The cast of a float to an integer saturates.
        (distance as u32).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_have_the_mean_and_the_spread_of_independent_draws() {
        let mut distances = Distances::new(512, 7);
        let drawn: Vec<f64> = (0..200_000).map(|_| f64::from(distances.draw())).collect();
        let mean = drawn.iter().sum::<f64>() / drawn.len() as f64;
        let variance = drawn.iter().map(|distance| (distance - mean).powi(2)).sum::<f64>() / drawn.len() as f64;
        assert!((mean - 512.0).abs() < 5.0, "{mean}");
        assert!((variance.sqrt() - 511.5).abs() < 8.0, "{}", variance.sqrt());
    }

    #[test]
    fn each_and_the_far() {
        let mut each = Distances::new(0, 1);
        assert!((0..100).all(|_| each.draw() == 1));
        let mut far = Distances::new(u32::MAX, 1);
        assert_eq!(far.mean(), Distances::MOST);
        assert!((0..1000).all(|_| far.draw() >= 1));
    }
}
