//! Which features to measure: groups of them that are measured together.

use std::fmt::{self, Debug, Formatter};

/// Features that come from the same work, so that one costs as much as all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// From the voxels alone: volume, inertia axes, the area of marching cubes.
    Size,
    /// From the smooth surface: area, lengths, deviations from balls and ellipsoids.
    Surface,
    /// How the surface bends.
    Curvature,
    /// What the cell touches.
    Contacts,
    /// Where the cell stands among the others.
    Context,
    /// Means, sums and polarity of every channel.
    Brightness,
    /// The texture of every channel.
    Texture,
    /// Distances between landmarks, and moments: [`crate::cloud_table`], not [`fn@crate::measure`],
    /// measures them. They take longer than all others.
    Landmarks,
}

impl Group {
    /// All groups.
    pub const ALL: [Self; 8] = [
        Self::Size,
        Self::Surface,
        Self::Curvature,
        Self::Contacts,
        Self::Context,
        Self::Brightness,
        Self::Texture,
        Self::Landmarks,
    ];

    /// One word in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Size => "size",
            Self::Surface => "surface",
            Self::Curvature => "curvature",
            Self::Contacts => "contacts",
            Self::Context => "context",
            Self::Brightness => "brightness",
            Self::Texture => "texture",
            Self::Landmarks => "landmarks",
        }
    }

    /// The group of this name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|group| group.name() == name)
    }
}

/// A set of groups; by default all but [`Group::Landmarks`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Groups([bool; Group::ALL.len()]);

impl Groups {
    /// All groups.
    pub const ALL: Self = Self([true; Group::ALL.len()]);

    /// These groups, and another.
    #[must_use]
    pub fn and(mut self, group: Group) -> Self {
        self.0[group as usize] = true;
        self
    }

    /// These groups, and no others.
    pub fn only(groups: &[Group]) -> Self {
        Self(Group::ALL.map(|group| groups.contains(&group)))
    }

    /// Whether the group is in the set.
    pub fn contains(self, group: Group) -> bool {
        self.0[group as usize]
    }

    /// Whether one of these groups is in the set.
    pub(crate) fn contains_any(self, groups: &[Group]) -> bool {
        groups.iter().any(|group| self.contains(*group))
    }
}

impl Default for Groups {
    fn default() -> Self {
        let mut groups = Self::ALL;
        groups.0[Group::Landmarks as usize] = false;
        groups
    }
}

impl Debug for Groups {
    fn fmt(&self, formatter: &mut Formatter) -> fmt::Result {
        let groups = Group::ALL.into_iter().filter(|group| self.contains(*group));
        formatter.debug_set().entries(groups).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_was_put_in_and_every_group_has_its_name() {
        for (at, group) in Group::ALL.into_iter().enumerate() {
            assert_eq!((group as usize, Group::of_name(group.name())), (at, Some(group)));
            let one = Groups::only(&[group]);
            let held = Group::ALL.into_iter().filter(|other| one.contains(*other));
            assert_eq!(held.collect::<Vec<_>>(), [group]);
        }
        assert_eq!(Groups::only(&Group::ALL), Groups::default().and(Group::Landmarks));
        assert_eq!(format!("{:?}", Groups::only(&[Group::Size])), "{Size}");
        assert_eq!(Group::of_name("colour"), None);
    }
}
